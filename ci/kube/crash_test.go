package kube

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"cutover.dev/ci/release"
	"cutover.dev/ci/rollout"
)

func terminated(reason string, code int32) *corev1.ContainerStateTerminated {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return &corev1.ContainerStateTerminated{Reason: reason, ExitCode: code, StartedAt: metav1.NewTime(start), FinishedAt: metav1.NewTime(start.Add(5 * time.Second))}
}

func TestCrashed(t *testing.T) {
	ended := corev1.ContainerStatus{State: corev1.ContainerState{Terminated: terminated("Error", 1)}}
	again := corev1.ContainerStatus{RestartCount: 1, LastTerminationState: corev1.ContainerState{Terminated: terminated("OOMKilled", 137)}}
	going := again
	going.State.Waiting = &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off 10s"}
	for name, c := range map[string]struct {
		status    corev1.ContainerStatus
		tolerated int
		leaving   bool
		want      string
	}{
		"it runs":                     {},
		"it has just ended":           {status: ended, want: "crashed: Error (exit code 1) after 5s"},
		"it runs again":               {status: again, want: "crashed: OOMKilled (exit code 137) after 5s"},
		"it runs again, and may":      {status: again, tolerated: 1},
		"it ends oftener than it may": {status: corev1.ContainerStatus{RestartCount: 1, State: ended.State}, tolerated: 1, want: "crashed: Error (exit code 1) after 5s"},
		"it is held back":             {status: going, tolerated: 5, want: "cannot become ready: CrashLoopBackOff: back-off 10s"},
		"it is taken away":            {status: ended, leaving: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := &corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{c.status}}}
			if c.leaving {
				p.DeletionTimestamp = new(metav1.Now())
			}
			require.Equal(t, c.want, crashed(p, c.tolerated))
		})
	}
}

func TestACrashIsSeenAtOnceAndItsEvidenceHoldsNoSecret(t *testing.T) {
	watched(t, func(t *testing.T, ctx context.Context, c *Cluster, client *fake.Clientset) {
		_, err := client.CoreV1().Secrets(namespace).Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: names.Config("r2")},
			Data: map[string][]byte{"PASSWORD": []byte("correct-horse")}}, metav1.CreateOptions{})
		require.NoError(t, err)
		_, err = client.CoreV1().Events(namespace).Create(ctx, &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "e"},
			InvolvedObject: corev1.ObjectReference{Kind: "Pod", Name: "a"}, Reason: "Unhealthy", Message: "it said correct-horse"}, metav1.CreateOptions{})
		require.NoError(t, err)
		add(t, client, pod("a", release.Green, "r2", true))
		add(t, client, pod("other", release.Green, "r1", true))

		err = waits(t, func() error { return c.WaitCrash(ctx, raised().Release, release.Green) }, func() {
			other := pod("other", release.Green, "r1", true)
			other.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Terminated: terminated("Error", 1)}}}
			update(t, client, other)
			p := pod("a", release.Green, "r2", false)
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", State: corev1.ContainerState{Terminated: terminated("Error", 1)}}}
			update(t, client, p)
		})
		var crash *rollout.Crash
		require.ErrorAs(t, err, &crash)
		require.Equal(t, "a", crash.Pod)
		require.Equal(t, "crashed: Error (exit code 1) after 5s", crash.What)
		require.Equal(t, []string{"fake logs"}, crash.Log) // client-go's fake says so for every pod
		require.Equal(t, []string{"Unhealthy: it said [secret]"}, crash.Events)
	})
}

func TestAPodWithoutANodeIsGivenTimeAndMoreWhileOneIsMade(t *testing.T) {
	homeless := pod("a", release.Green, "r2", false)
	homeless.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: "0/1 nodes are available"}}

	watched(t, func(t *testing.T, ctx context.Context, c *Cluster, client *fake.Clientset) {
		add(t, client, homeless.DeepCopy())
		begun := time.Now()
		err := c.WaitCrash(ctx, raised().Release, release.Green)
		require.ErrorContains(t, err, "pod a is taken by no node for 15s: 0/1 nodes are available")
		require.Equal(t, patience, time.Since(begun))
	})
	watched(t, func(t *testing.T, ctx context.Context, c *Cluster, client *fake.Clientset) {
		_, err := client.CoreV1().Events(namespace).Create(ctx, &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "e"},
			InvolvedObject: corev1.ObjectReference{Kind: "Pod", Name: "a"}, Reason: "TriggeredScaleUp"}, metav1.CreateOptions{})
		require.NoError(t, err)
		add(t, client, homeless.DeepCopy())
		ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
		defer cancel()
		require.ErrorIs(t, c.WaitCrash(ctx, raised().Release, release.Green), context.DeadlineExceeded)
	})
}

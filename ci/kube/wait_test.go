package kube

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"cutover.dev/ci/agent"
	"cutover.dev/ci/release"
)

func waiting(reason, message string) corev1.PodStatus {
	return corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{
		{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}}}
}

func TestHopeless(t *testing.T) {
	for _, c := range []struct {
		status corev1.PodStatus
		want   string
	}{
		{waiting("ImagePullBackOff", "no such image"), "ImagePullBackOff: no such image"},
		{waiting("CrashLoopBackOff", "back-off 10s"), "CrashLoopBackOff: back-off 10s"},
		{waiting("InvalidImageName", "x"), "InvalidImageName: x"},
		{waiting("CreateContainerConfigError", `configmap "notes-r1" not found`), `CreateContainerConfigError: configmap "notes-r1" not found`},
		{waiting("CreateContainerError", "x"), "CreateContainerError: x"},
		{waiting("RunContainerError", "x"), "RunContainerError: x"},
		{corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted", Message: "the node was low on memory"}, "Evicted the node was low on memory"},
		{waiting("ContainerCreating", ""), ""},
		{waiting("PodInitializing", ""), ""},
		{waiting("ErrImagePull", "timeout"), ""},                                                                           // the kubelet tries once more
		{waiting("CreateContainerConfigError", "failed to sync configmap cache: timed out waiting for the condition"), ""}, // nor has it heard yet
		{corev1.PodStatus{Phase: corev1.PodRunning}, ""},
		{corev1.PodStatus{Phase: corev1.PodPending}, ""},
		{corev1.PodStatus{}, ""},
	} {
		require.Equal(t, c.want, hopeless(&corev1.Pod{Status: c.status}))
	}
}

func TestAPodThatIsBeingTakenAwayIsNotReady(t *testing.T) {
	p := pod("a", release.Green, "r2", true)
	require.True(t, isReady(p))
	p.DeletionTimestamp = new(metav1.Now())
	require.False(t, isReady(p))
	require.False(t, isReady(pod("a", release.Green, "r2", false)))
	require.False(t, isReady(&corev1.Pod{}))
}

func pod(name string, c release.Colour, id string, ready bool) *corev1.Pod {
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	labels := names.Labels()
	labels[release.LabelRelease], labels[release.LabelServes], labels[release.LabelColour] = id, "notes", string(c)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: labels},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: status}}},
	}
}

// watched runs a test on a cluster that follows the application, with a clock of
// its own.
func watched(t *testing.T, test func(*testing.T, context.Context, *Cluster, *fake.Clientset)) {
	synctest.Test(t, func(t *testing.T) {
		c, client := newFake(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer c.informers.Shutdown()
		defer cancel()
		require.NoError(t, c.Watch(ctx))
		test(t, ctx, c, client)
	})
}

// waits checks that call goes on until act, and returns what it then returns.
func waits(t *testing.T, call func() error, act func()) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- call() }()
	synctest.Wait()
	select {
	case err := <-done:
		require.Fail(t, "it did not wait", "%v", err)
	default:
	}
	act()
	synctest.Wait()
	select {
	case err := <-done:
		return err
	default:
		require.Fail(t, "it waits for ever")
		return nil
	}
}

func add(t *testing.T, client *fake.Clientset, p *corev1.Pod) {
	t.Helper()
	_, err := client.CoreV1().Pods(namespace).Create(t.Context(), p, metav1.CreateOptions{})
	require.NoError(t, err)
	synctest.Wait() // the informer sees it
}

func update(t *testing.T, client *fake.Clientset, p *corev1.Pod) {
	t.Helper()
	stored, err := client.CoreV1().Pods(namespace).Get(t.Context(), p.Name, metav1.GetOptions{})
	require.NoError(t, err)
	p.ResourceVersion = stored.ResourceVersion
	_, err = client.CoreV1().Pods(namespace).Update(t.Context(), p, metav1.UpdateOptions{})
	require.NoError(t, err)
	synctest.Wait() // the informer sees it
}

func raised() *release.Record {
	rec := record("A")
	rec.Release.ID = "r2"
	return rec
}

func TestWaitReadyCountsPodsOfTheReleaseOnItsColourOnly(t *testing.T) {
	watched(t, func(t *testing.T, ctx context.Context, c *Cluster, client *fake.Clientset) {
		require.NoError(t, waits(t, func() error { return c.WaitReady(ctx, raised().Release, raised().Colour, raised().Replicas) }, func() {
			add(t, client, pod("a", release.Green, "r2", true))
			add(t, client, pod("b", release.Green, "r2", true))
		}))
	})
	watched(t, func(t *testing.T, ctx context.Context, c *Cluster, client *fake.Clientset) {
		for name, p := range map[string]*corev1.Pod{
			"a": pod("a", release.Green, "r2", true), "b": pod("b", release.Green, "r2", false),
			"c": pod("c", release.Green, "r1", true), "d": pod("d", release.Blue, "r2", true),
		} {
			p.Name = name
			add(t, client, p)
		}
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		require.EqualError(t, c.WaitReady(ctx, raised().Release, raised().Colour, raised().Replicas), "1 of 2 pods are ready; b: Running")
	})
}

func TestWaitReadyEndsAtOnceWhenAPodIsHopeless(t *testing.T) {
	watched(t, func(t *testing.T, ctx context.Context, c *Cluster, client *fake.Clientset) {
		err := waits(t, func() error { return c.WaitReady(ctx, raised().Release, raised().Colour, raised().Replicas) }, func() {
			p := pod("a", release.Green, "r2", false)
			p.Status = waiting("ImagePullBackOff", "no such image")
			add(t, client, p)
		})
		require.EqualError(t, err, "pod a cannot become ready: ImagePullBackOff: no such image")
	})
}

func TestWaitReadySaysWhyNoPodWasMade(t *testing.T) {
	watched(t, func(t *testing.T, ctx context.Context, c *Cluster, client *fake.Clientset) {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		require.ErrorContains(t, c.WaitReady(ctx, raised().Release, raised().Colour, raised().Replicas), "0 of 2 pods are ready; none was made")
	})
}

func TestWaitReadyTellsTheLastWarning(t *testing.T) {
	watched(t, func(t *testing.T, ctx context.Context, c *Cluster, client *fake.Clientset) {
		p := pod("a", release.Green, "r2", false)
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes"})
		add(t, client, p)
		for name, at := range map[string]time.Time{"old": time.Now().Add(-time.Hour), "newest": time.Now()} {
			_, err := client.CoreV1().Events(namespace).Create(ctx, &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, Type: corev1.EventTypeWarning, Message: name + " warning", LastTimestamp: metav1.NewTime(at)}, metav1.CreateOptions{})
			require.NoError(t, err)
		}
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		require.EqualError(t, c.WaitReady(ctx, raised().Release, raised().Colour, raised().Replicas), "0 of 2 pods are ready; a: Unschedulable: 0/3 nodes, newest warning")
	})
}

func TestWaitGoneWaitsForTheLastPodOfTheColour(t *testing.T) {
	watched(t, func(t *testing.T, ctx context.Context, c *Cluster, client *fake.Clientset) {
		add(t, client, pod("a", release.Blue, "r1", false))
		add(t, client, pod("b", release.Green, "r2", true))
		require.NoError(t, waits(t, func() error { return c.WaitGone(ctx, release.Blue) }, func() {
			require.NoError(t, client.CoreV1().Pods(namespace).Delete(ctx, "a", metav1.DeleteOptions{}))
		}))
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		require.ErrorContains(t, c.WaitGone(ctx, release.Green), "1 pods of green have not ended")
	})
}

func endpoints(pods map[string]bool) *discoveryv1.EndpointSlice {
	labels := names.Labels()
	labels[discoveryv1.LabelServiceName] = "notes"
	s := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: "notes-x", Namespace: namespace, Labels: labels}}
	for name, ready := range pods {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{TargetRef: &corev1.ObjectReference{Name: name}, Conditions: discoveryv1.EndpointConditions{Ready: new(ready)}})
	}
	return s
}

func TestWaitEndpointsWaitsUntilTheServiceLeadsNowhereElse(t *testing.T) {
	watched(t, func(t *testing.T, ctx context.Context, c *Cluster, client *fake.Clientset) {
		add(t, client, pod("new", release.Green, "r2", true))
		add(t, client, pod("old", release.Blue, "r1", true))
		slices := client.DiscoveryV1().EndpointSlices(namespace)
		_, err := slices.Create(ctx, endpoints(map[string]bool{"new": true, "old": true, "unknown": false}), metav1.CreateOptions{})
		require.NoError(t, err)
		synctest.Wait()
		require.NoError(t, waits(t, func() error { return c.WaitEndpoints(ctx, release.Green, 1) }, func() {
			require.NoError(t, slices.Delete(ctx, "notes-x", metav1.DeleteOptions{}))
			_, err := slices.Create(ctx, endpoints(map[string]bool{"new": true, "old": false}), metav1.CreateOptions{})
			require.NoError(t, err)
		}))
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		require.EqualError(t, c.WaitEndpoints(ctx, release.Blue, 1), "the Service notes leads to 0 ready pods of blue and 1 other addresses, wanted 1 and 0")
	})
}

func TestAnAddressOfAnUnknownPodIsNotTheColours(t *testing.T) {
	watched(t, func(t *testing.T, ctx context.Context, c *Cluster, client *fake.Clientset) {
		add(t, client, pod("new", release.Green, "r2", true))
		_, err := client.DiscoveryV1().EndpointSlices(namespace).Create(ctx, endpoints(map[string]bool{"new": true, "stranger": true}), metav1.CreateOptions{})
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		require.ErrorContains(t, c.WaitEndpoints(ctx, release.Green, 1), "1 ready pods of green and 1 other addresses")
	})
}

// sees is what the agent's log says.
func sees(c *Cluster, s agent.Sighting) {
	c.startFollowing("agent")
	c.saw("agent", func(seen *sightings) { seen.last[s.Target] = s })
}

func TestWhatAnotherAgentSawDoesNotCount(t *testing.T) {
	c, _ := newFake(t)
	require.True(t, c.startFollowing("first"))
	require.False(t, c.startFollowing("first"), "it is followed already")
	c.saw("first", func(s *sightings) { s.last["live"], s.broken = agent.Sighting{Asked: 100}, "it cannot look" })
	require.Equal(t, 100, c.sighting("live").Asked)

	require.True(t, c.startFollowing("second"))
	require.Zero(t, c.sighting("live").Asked)
	require.Empty(t, c.agentBroken())
	c.saw("first", func(s *sightings) { s.last["live"], s.broken = agent.Sighting{Asked: 101}, "it cannot look" })
	require.Zero(t, c.sighting("live").Asked)
	require.Empty(t, c.agentBroken())
	require.False(t, c.follows("first"))
	require.True(t, c.follows("second"))
}

func TestWaitAnswersCountsOnlyWhatWasAskedSinceTheCall(t *testing.T) {
	watched(t, func(t *testing.T, ctx context.Context, c *Cluster, client *fake.Clientset) {
		r := release.Release{ID: "r2", Version: "2"}
		two := agent.Identity{Version: "2", Release: "r2"}
		sees(c, agent.Sighting{Target: "live", Asked: 100, Streak: 100, Last: two})
		var last agent.Sighting
		require.NoError(t, waits(t, func() (err error) { last, err = c.WaitAnswers(ctx, "live", r, 20); return err }, func() {
			sees(c, agent.Sighting{Target: "live", Asked: 119, Streak: 119, Last: two})
			sees(c, agent.Sighting{Target: "preview", Asked: 500, Streak: 500, Last: two})
			sees(c, agent.Sighting{Target: "live", Asked: 120, Streak: 120, Last: two})
		}))
		require.Equal(t, 120, last.Asked)
	})
}

func TestWaitAnswersSaysWhoAnsweredInstead(t *testing.T) {
	for want, s := range map[string]agent.Sighting{
		"the agent has not asked yet":              {Target: "preview"},
		"connection refused":                       {Target: "live", Asked: 50, Error: "connection refused"},
		"50 in a row were version 1 (release r1)":  {Target: "live", Asked: 50, Streak: 50, Last: agent.Identity{Version: "1", Release: "r1"}},
		"5 in a row were version 2 (release r2)":   {Target: "live", Asked: 50, Streak: 5, Last: agent.Identity{Version: "2", Release: "r2"}},
		"60 in a row were version 2 (release r99)": {Target: "live", Asked: 60, Streak: 60, Last: agent.Identity{Version: "2", Release: "r99"}},
	} {
		watched(t, func(t *testing.T, ctx context.Context, c *Cluster, client *fake.Clientset) {
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			err := waits(t, func() error {
				_, err := c.WaitAnswers(ctx, "live", release.Release{ID: "r2", Version: "2"}, 20)
				return err
			}, func() {
				sees(c, s)
				time.Sleep(time.Minute)
			})
			require.ErrorContains(t, err, "live did not answer 20 times in a row with version 2 (release r2): "+want)
		})
	}
}

func TestWaitAnswersEndsAtOnceWhenTheAgentCannotLook(t *testing.T) {
	watched(t, func(t *testing.T, ctx context.Context, c *Cluster, client *fake.Clientset) {
		err := waits(t, func() error { _, err := c.WaitAnswers(ctx, "live", release.Release{}, 20); return err }, func() {
			c.startFollowing("agent")
			c.saw("agent", func(s *sightings) { s.broken = "the agent's pod cannot look: ImagePullBackOff" })
		})
		require.EqualError(t, err, "the agent's pod cannot look: ImagePullBackOff")
	})
}

func job(kind batchv1.JobConditionType, message string) *batchv1.Job {
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "notes-r2-migrate", Namespace: namespace, Labels: names.Labels()},
		Status:     batchv1.JobStatus{Conditions: []batchv1.JobCondition{{Type: kind, Status: corev1.ConditionTrue, Message: message}}},
	}
}

func TestWaitJobTellsHowAJobEnded(t *testing.T) {
	for kind, want := range map[batchv1.JobConditionType]string{batchv1.JobComplete: "", batchv1.JobFailed: "BackoffLimitExceeded"} {
		watched(t, func(t *testing.T, ctx context.Context, c *Cluster, client *fake.Clientset) {
			var failure string
			require.NoError(t, waits(t, func() (err error) { failure, err = c.waitJob(ctx, "notes-r2-migrate"); return err }, func() {
				_, err := client.BatchV1().Jobs(namespace).Create(ctx, job(kind, want), metav1.CreateOptions{})
				require.NoError(t, err)
			}))
			require.Equal(t, want, failure)
		})
	}
}

func TestWaitJobEndsAtOnceWhenItsPodCannotStart(t *testing.T) {
	watched(t, func(t *testing.T, ctx context.Context, c *Cluster, client *fake.Clientset) {
		err := waits(t, func() error { _, err := c.waitJob(ctx, "notes-r2-migrate"); return err }, func() {
			p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "m", Namespace: namespace, Labels: names.Labels()}, Status: waiting("ImagePullBackOff", "no such image")}
			p.Labels[batchv1.JobNameLabel] = "notes-r2-migrate"
			add(t, client, p)
		})
		require.EqualError(t, err, "pod m of the Job cannot start: ImagePullBackOff: no such image")
	})
}

func TestAJobWithoutAPodIsToldPlainly(t *testing.T) {
	c, _ := newFake(t)
	_, err := c.jobLog(t.Context(), "notes-r2-migrate")
	require.ErrorContains(t, err, "the Job notes-r2-migrate ended, but its pod's log cannot be found")
	require.NotContains(t, err.Error(), "%!", "a broken format")
}

func TestAWaitEndsWithTheCauseOfItsContext(t *testing.T) {
	watched(t, func(t *testing.T, ctx context.Context, c *Cluster, client *fake.Clientset) {
		ctx, cancel := context.WithCancelCause(ctx)
		err := waits(t, func() error { return c.until(ctx, func() (bool, error) { return false, nil }) }, func() { cancel(context.DeadlineExceeded) })
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

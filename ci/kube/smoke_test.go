package kube

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"cutover.dev/ci/config"
	"cutover.dev/ci/release"
)

func smoked() *release.Record {
	rec := raised()
	rec.Number = 7
	rec.Release.Env.Smoke = &config.Smoke{Package: "./smoke"}
	return rec
}

// ends lets the Job end as the Job controller would.
func ends(t *testing.T, client *fake.Clientset, condition batchv1.JobCondition, containers ...corev1.ContainerStatus) {
	t.Helper()
	job, err := client.BatchV1().Jobs(namespace).Get(t.Context(), "notes-smoke-7-preview", metav1.GetOptions{})
	require.NoError(t, err)
	p := pod("smoke-x", release.None, "r2", false)
	p.Labels[batchv1.JobNameLabel] = job.Name
	p.Status.ContainerStatuses = containers
	add(t, client, p)
	condition.Status = corev1.ConditionTrue
	job.Status.Conditions = []batchv1.JobCondition{condition}
	_, err = client.BatchV1().Jobs(namespace).UpdateStatus(t.Context(), job, metav1.UpdateOptions{})
	require.NoError(t, err)
	synctest.Wait()
}

func TestSmokeTestsThatPassLeaveNoJob(t *testing.T) {
	watched(t, func(t *testing.T, ctx context.Context, c *Cluster, client *fake.Clientset) {
		var log string
		err := waits(t, func() (err error) { log, err = c.Smoke(ctx, smoked(), "preview", "notes-preview"); return err },
			func() { ends(t, client, batchv1.JobCondition{Type: batchv1.JobComplete}) })
		require.NoError(t, err)
		require.Equal(t, "fake logs", log) // client-go's fake says so for every pod
		jobs, err := client.BatchV1().Jobs(namespace).List(ctx, metav1.ListOptions{})
		require.NoError(t, err)
		require.Empty(t, jobs.Items)
	})
}

func TestSmokeTestsThatFailAreToldAndStayUntilTheyAreEnded(t *testing.T) {
	watched(t, func(t *testing.T, ctx context.Context, c *Cluster, client *fake.Clientset) {
		var log string
		err := waits(t, func() (err error) { log, err = c.Smoke(ctx, smoked(), "preview", "notes-preview"); return err },
			func() { ends(t, client, batchv1.JobCondition{Type: batchv1.JobFailed, Message: "deadline"}) })
		require.EqualError(t, err, "the Job notes-smoke-7-preview failed: deadline")
		require.Equal(t, "fake logs", log)

		require.NoError(t, c.EndSmoke(ctx, smoked(), "live"), "there was none")
		require.NoError(t, c.EndSmoke(ctx, smoked(), "preview"))
		jobs, err := client.BatchV1().Jobs(namespace).List(ctx, metav1.ListOptions{})
		require.NoError(t, err)
		require.Empty(t, jobs.Items)
	})
}

func TestSmokeTestsThatCannotStartSayWhy(t *testing.T) {
	watched(t, func(t *testing.T, ctx context.Context, c *Cluster, client *fake.Clientset) {
		unable := corev1.ContainerStatus{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			Reason: "StartError", ExitCode: 128, Message: "exec: no such file or directory"}}}
		err := waits(t, func() error { _, err := c.Smoke(ctx, smoked(), "preview", "notes-preview"); return err },
			func() {
				ends(t, client, batchv1.JobCondition{Type: batchv1.JobFailed, Message: "backoff limit"}, unable)
			})
		require.EqualError(t, err, "the Job notes-smoke-7-preview failed: backoff limit; pod smoke-x: StartError (exit code 128) exec: no such file or directory")
	})
}

package kube

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"cutover.dev/ci/config"
	"cutover.dev/ci/plan"
	"cutover.dev/ci/release"
)

// migrating is a release with a database, and the input that asks for it.
func migrating() (release.Release, plan.Input) {
	r := record("RUN").Release
	r.Image, r.Bundle = "r.io/notes@sha256:a", "r.io/notes@sha256:b"
	r.Env.Migrations = &config.Migrations{Dir: "sql", DSN: "DATABASE_URL"}
	return r, plan.Input{Env: r.Env, Secrets: map[string]string{"DATABASE_URL": "postgres://notes:correct-horse@db/notes", "OTHER": "x"}}
}

// looks lets the kubelet make the look's pod, whose containers are as given.
func looks(t *testing.T, client *fake.Clientset, states map[string]corev1.ContainerState) {
	t.Helper()
	jobs, err := client.BatchV1().Jobs(namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, jobs.Items, 1)
	job := jobs.Items[0]
	secret, err := client.CoreV1().Secrets(namespace).Get(t.Context(), job.Name, metav1.GetOptions{})
	require.NoError(t, err)
	require.Len(t, secret.Data, 1, "the connection string and nothing else")
	require.Equal(t, job.Name, secret.OwnerReferences[0].Name, "it goes with the Job")
	p := pod("check-x", release.None, "", false)
	p.Labels[batchv1.JobNameLabel] = job.Name
	p.Spec = job.Spec.Template.Spec
	for name, state := range states {
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{Name: name, State: state})
	}
	add(t, client, p)
	synctest.Wait()
}

var (
	notStarted = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "StartError", ExitCode: 128}}
	ended      = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed"}}
	forbidden  = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "401 Unauthorized"}}
	pulling    = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}
	noSecret   = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CreateContainerConfigError", Message: "secret not found"}}
)

func TestACheckSaysWhatItsPodSaw(t *testing.T) {
	for name, c := range map[string]struct {
		states  map[string]corev1.ContainerState
		want    plan.Checked
		trouble string
		late    bool // it is only known when the time for the look is over
	}{
		// client-go's fake says "fake logs" for every pod.
		"pulled": {map[string]corev1.ContainerState{plan.CheckImage: notStarted, plan.CheckDatabase: ended},
			plan.Checked{}, "the pod check-x ended without an answer: fake logs", false},
		"not to be pulled": {map[string]corev1.ContainerState{plan.CheckImage: forbidden, plan.CheckDatabase: ended},
			plan.Checked{Unpullable: "ImagePullBackOff: 401 Unauthorized"}, "the pod check-x ended without an answer: fake logs", false},
		"no bundle": {map[string]corev1.ContainerState{plan.CheckImage: notStarted, plan.CheckDatabase: forbidden},
			plan.Checked{}, "the bundle cannot be pulled: ImagePullBackOff: 401 Unauthorized", false},
		"a large image": {map[string]corev1.ContainerState{plan.CheckImage: pulling, plan.CheckDatabase: ended},
			plan.Checked{Pulling: true}, "the pod check-x ended without an answer: fake logs", true},
		"no answer": {map[string]corev1.ContainerState{plan.CheckImage: notStarted, plan.CheckDatabase: noSecret},
			plan.Checked{}, "the pod check-x had no answer after 1m0s: CreateContainerConfigError secret not found", true},
	} {
		t.Run(name, func(t *testing.T) {
			watched(t, func(t *testing.T, ctx context.Context, c2 *Cluster, client *fake.Clientset) {
				r, in := migrating()
				var seen plan.Checked
				require.NoError(t, waits(t, func() (err error) { seen, err = c2.Check(ctx, r, in); return err },
					func() {
						looks(t, client, c.states)
						if c.late {
							time.Sleep(plan.CheckTime)
						}
					}))
				require.Equal(t, c.trouble, seen.Trouble)
				seen.Trouble = ""
				require.Equal(t, c.want, seen)
				jobs, err := client.BatchV1().Jobs(namespace).List(t.Context(), metav1.ListOptions{})
				require.NoError(t, err)
				require.Empty(t, jobs.Items, "it leaves nothing")
			})
		})
	}
}

func TestACheckWithoutAPodSaysWhy(t *testing.T) {
	watched(t, func(t *testing.T, ctx context.Context, c *Cluster, client *fake.Clientset) {
		r, in := migrating()
		err := waits(t, func() error { _, err := c.Check(ctx, r, in); return err }, func() { time.Sleep(plan.CheckTime) })
		require.ErrorContains(t, err, "made no pod (a quota or an admission policy may forbid it)")
	})
}

func TestAMigrationWaitsForThePodOfAnEarlierRun(t *testing.T) {
	watched(t, func(t *testing.T, ctx context.Context, c *Cluster, client *fake.Clientset) {
		r, _ := migrating()
		r.ID = "r2"
		old := pod("old", release.None, "r1", false)
		old.Labels[release.LabelRole], old.Labels[batchv1.JobNameLabel] = "migrate", "notes-r1-migrate"
		old.Status.Phase = corev1.PodRunning
		add(t, client, old)
		synctest.Wait()
		job := plan.MigrateJob(&release.Record{Release: r})
		err := waits(t, func() error { return c.waitNoOther(ctx, job) }, func() {
			require.NoError(t, client.CoreV1().Pods(namespace).Delete(ctx, "old", metav1.DeleteOptions{}))
		})
		require.NoError(t, err)
	})
}

func TestEveryLineOfAJobIsToldOnce(t *testing.T) {
	watched(t, func(t *testing.T, ctx context.Context, c *Cluster, client *fake.Clientset) {
		var told []string
		rec := smoked()
		job := plan.SmokeJob(rec, "preview", "notes-preview")
		var log string
		err := waits(t, func() (err error) {
			log, err = c.runJob(ctx, job, func(line string) { told = append(told, line) })
			return err
		}, func() { ends(t, client, batchv1.JobCondition{Type: batchv1.JobComplete}) })
		require.NoError(t, err)
		require.Equal(t, "fake logs", log)
		require.Equal(t, []string{"fake logs"}, told)
	})
}

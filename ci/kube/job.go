package kube

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"cutover.dev/ci/plan"
	"cutover.dev/ci/release"
)

// logLimit bounds what is read of a helper's log.
const logLimit = 1 << 20

// Migrate implements rollout.Releases.
func (c *Cluster) Migrate(ctx context.Context, rec *release.Record, tell func(line string)) (log string, err error) {
	return c.changeDatabase(ctx, plan.MigrateJob(rec), tell)
}

// Contract implements rollout.Releases.
func (c *Cluster) Contract(ctx context.Context, rec *release.Record, versions []int64, tell func(line string)) (log string, err error) {
	return c.changeDatabase(ctx, plan.ContractJob(rec, versions), tell)
}

// changeDatabase runs a Job that may change the database, once no other one does.
func (c *Cluster) changeDatabase(ctx context.Context, job *batchv1.Job, tell func(line string)) (log string, err error) {
	if err := c.waitNoOther(ctx, job); err != nil {
		return "", err
	}
	if log, err = c.runJob(ctx, job, tell); err != nil {
		return log, err
	}
	return log, c.endJob(ctx, job.Name)
}

// Backup implements rollout.Releases.
func (c *Cluster) Backup(ctx context.Context, rec *release.Record) (log string, err error) {
	return c.runForeign(ctx, rec, plan.BackupJob(rec))
}

// runForeign runs a Job whose program is not cutover's own, and so may print what it
// was given: its log is returned without the release's secrets. A Job that failed
// stays.
func (c *Cluster) runForeign(ctx context.Context, rec *release.Record, job *batchv1.Job) (log string, err error) {
	log, err = c.runJob(ctx, job, nil)
	hidden, hideErr := c.hider(ctx, rec.Release.ID)
	if hideErr != nil {
		return "", errors.Join(err, hideErr)
	}
	if log = hidden.Hide(log); err != nil {
		return log, err
	}
	return log, c.endJob(ctx, job.Name)
}

// waitNoOther waits until no pod of another Job of the same role is left: one that
// a killed run started may still be at work.
func (c *Cluster) waitNoOther(ctx context.Context, job *batchv1.Job) error {
	role := labels.Set{release.LabelRole: job.Spec.Template.Labels[release.LabelRole]}
	var left string
	err := c.until(ctx, func() (bool, error) {
		pods, err := c.pods(role)
		left = ""
		for _, p := range pods {
			ended := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
			if p.Labels[batchv1.JobNameLabel] != job.Name && !ended {
				left = p.Name
			}
		}
		return left == "", err
	})
	if err != nil && left != "" {
		return fmt.Errorf("the pod %s of an earlier run is still at work: %w", left, err)
	}
	return err
}

// runJob runs a Job to its end and returns its log, also when the error is that it
// failed. Each line is told as it comes; tell may be nil. A Job that a killed run
// left is waited for, never started twice.
func (c *Cluster) runJob(ctx context.Context, job *batchv1.Job, tell func(line string)) (log string, err error) {
	if err := c.write(ctx, "create the Job "+job.Name, func(ctx context.Context) error {
		_, err := c.client.BatchV1().Jobs(c.namespace).Create(ctx, job, metav1.CreateOptions{FieldManager: release.Manager})
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	}); err != nil {
		return "", err
	}
	told := c.follow(ctx, job.Name, tell)
	failure, err := c.waitJob(ctx, job.Name)
	if err == nil {
		log, err = c.jobLog(ctx, job.Name)
	}
	told(log)
	if failure != "" { // its log may be gone with its pod
		return log, fmt.Errorf("the Job %s failed: %s", job.Name, failure)
	}
	return log, err
}

// follow tells the lines of a Job's log as they come. What it returns ends that,
// and tells what of the whole log was not told yet.
func (c *Cluster) follow(ctx context.Context, job string, tell func(line string)) (end func(log string)) {
	if tell == nil {
		return func(string) {}
	}
	ctx, cancel := context.WithCancel(ctx)
	told, ended := 0, make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			pod, err := c.begun(ctx, job)
			if err != nil {
				return
			}
			told = c.readLines(ctx, pod, told, tell)
			select { // a stream that ended at once must not be asked for in a tight loop
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}()
	return func(log string) {
		cancel()
		<-ended
		for i, line := range slices.Collect(strings.Lines(log)) {
			if i >= told {
				tell(strings.TrimSuffix(line, "\n"))
			}
		}
	}
}

// begun waits for the Job's pod to have a log.
func (c *Cluster) begun(ctx context.Context, job string) (pod string, err error) {
	err = c.until(ctx, func() (bool, error) {
		pods, err := c.pods(labels.Set{batchv1.JobNameLabel: job})
		for _, p := range pods {
			if p.Status.Phase != corev1.PodPending {
				pod = p.Name
			}
		}
		return pod != "", err
	})
	return pod, err
}

// readLines tells the lines of a pod's log after the first so many, till the log
// or ctx ends, and returns how many were told in all.
func (c *Cluster) readLines(ctx context.Context, pod string, told int, tell func(line string)) int {
	stream, err := c.client.CoreV1().Pods(c.namespace).GetLogs(pod, &corev1.PodLogOptions{Follow: true}).Stream(ctx)
	if err != nil {
		return told
	}
	defer stream.Close()
	n := 0
	for lines := bufio.NewScanner(stream); lines.Scan(); {
		if n++; n > told {
			tell(lines.Text())
			told = n
		}
	}
	return told
}

// waitJob waits for the end of a Job and returns why it failed, empty if it did
// not. It ends early when the Job's pod can never start.
func (c *Cluster) waitJob(ctx context.Context, name string) (failure string, err error) {
	err = c.until(ctx, func() (bool, error) {
		pods, err := c.pods(labels.Set{batchv1.JobNameLabel: name})
		if err != nil {
			return false, err
		}
		for _, p := range pods {
			if why := hopeless(p); why != "" && p.Status.Phase == corev1.PodPending {
				return false, fmt.Errorf("pod %s of the Job cannot start: %s", p.Name, why)
			}
		}
		job, err := c.informers.Batch().V1().Jobs().Lister().Jobs(c.namespace).Get(name)
		if apierrors.IsNotFound(err) {
			return false, nil // just made; the informer has not seen it yet
		}
		if err != nil {
			return false, err
		}
		for _, cond := range job.Status.Conditions {
			if cond.Status != corev1.ConditionTrue {
				continue
			}
			switch cond.Type {
			case batchv1.JobComplete, batchv1.JobSuccessCriteriaMet:
				return true, nil
			case batchv1.JobFailed:
				failure = cond.Message + killed(pods)
				return true, nil
			}
		}
		return false, nil
	})
	return failure, err
}

// killed says what ended the newest pod other than its own program, which leaves
// no word of that in the log: the container could not be started, or had no memory
// left. Empty if nothing did, or the pod is gone.
func killed(pods []*corev1.Pod) string {
	if len(pods) == 0 {
		return ""
	}
	last := slices.MaxFunc(pods, func(a, b *corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	for _, s := range last.Status.ContainerStatuses {
		if t := s.State.Terminated; t != nil && t.Reason != "Error" && t.Reason != "Completed" {
			return strings.TrimRight(fmt.Sprintf("; pod %s: %s (exit code %d) %s", last.Name, t.Reason, t.ExitCode, t.Message), " ")
		}
	}
	return ""
}

// jobLog returns what the Job's last pod said.
func (c *Cluster) jobLog(ctx context.Context, name string) (string, error) {
	pods, err := c.client.CoreV1().Pods(c.namespace).List(ctx, metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + name})
	if err == nil && len(pods.Items) == 0 {
		err = errors.New("it has no pod")
	}
	if err != nil {
		return "", fmt.Errorf("the Job %s ended, but its pod's log cannot be found: %w", name, err)
	}
	last := slices.MaxFunc(pods.Items, func(a, b corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	text, err := c.podLog(ctx, last.Name, "")
	if err != nil {
		return "", fmt.Errorf("read the log of the Job %s: %w", name, err)
	}
	return text, nil
}

// podLog returns what a container of a pod said; empty names its only one.
func (c *Cluster) podLog(ctx context.Context, pod, container string) (string, error) {
	var text strings.Builder
	err := persist(ctx, func(ctx context.Context) error {
		stream, err := c.client.CoreV1().Pods(c.namespace).GetLogs(pod, &corev1.PodLogOptions{Container: container}).Stream(ctx)
		if err != nil {
			return err
		}
		defer stream.Close()
		text.Reset()
		_, err = io.Copy(&text, io.LimitReader(stream, logLimit))
		return err
	})
	return text.String(), err
}

func (c *Cluster) endJob(ctx context.Context, name string) error {
	return c.write(ctx, "delete the Job "+name, func(ctx context.Context) error { return c.deleteJob(ctx, name) })
}

func (c *Cluster) deleteJob(ctx context.Context, name string) error {
	return gone(c.client.BatchV1().Jobs(c.namespace).Delete(ctx, name,
		metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)}))
}

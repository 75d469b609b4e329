package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

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

// Migrate runs the release's migration Job to its end and returns its log. A
// Job that a killed run left is waited for, never started twice.
func (c *Cluster) Migrate(ctx context.Context, rec *release.Record) (log string, err error) {
	job := plan.MigrateJob(rec.Release)
	if err := c.write(ctx, "create the Job "+job.Name, func(ctx context.Context) error {
		_, err := c.client.BatchV1().Jobs(c.namespace).Create(ctx, job, metav1.CreateOptions{FieldManager: release.Manager})
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	}); err != nil {
		return "", err
	}
	failure, err := c.waitJob(ctx, job.Name)
	if err != nil {
		return "", err
	}
	log, err = c.jobLog(ctx, job.Name)
	if err != nil {
		return "", err
	}
	if failure != "" {
		return log, fmt.Errorf("the Job %s failed: %s", job.Name, failure)
	}
	return log, c.write(ctx, "delete the Job "+job.Name, func(ctx context.Context) error { return c.deleteJob(ctx, job.Name) })
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
	var text strings.Builder
	err = persist(ctx, func(ctx context.Context) error {
		stream, err := c.client.CoreV1().Pods(c.namespace).GetLogs(last.Name, &corev1.PodLogOptions{}).Stream(ctx)
		if err != nil {
			return err
		}
		defer stream.Close()
		text.Reset()
		_, err = io.Copy(&text, io.LimitReader(stream, logLimit))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read the log of the Job %s: %w", name, err)
	}
	return text.String(), nil
}

func (c *Cluster) deleteJob(ctx context.Context, name string) error {
	return gone(c.client.BatchV1().Jobs(c.namespace).Delete(ctx, name,
		metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)}))
}

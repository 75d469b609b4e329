package kube

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"cutover.dev/ci/migrate"
	"cutover.dev/ci/plan"
	"cutover.dev/ci/release"
)

// Check implements rollout.Cluster, by a Job that is gone when it returns. Should
// this process be killed, the Job ends within a minute and goes ten seconds later,
// and its Secret with it.
func (c *Cluster) Check(ctx context.Context, r release.Release, in plan.Input) (seen plan.Checked, err error) {
	if err := c.Watch(context.WithoutCancel(ctx)); err != nil {
		return seen, err
	}
	job := plan.CheckJob(r, c.names.Check(strings.ToLower(rand.Text()[:6])), in)
	// Its name is its own: a lost answer costs a second Job, which ends by itself.
	job, err = c.client.BatchV1().Jobs(c.namespace).Create(ctx, job, metav1.CreateOptions{FieldManager: release.Manager})
	if err != nil {
		return seen, fmt.Errorf("create the Job that looks at what only a pod can tell: %w", err)
	}
	defer func() { _ = c.deleteJob(context.WithoutCancel(ctx), job.Name) }()
	if r.Env.Migrations != nil {
		// The pod waits for its Secret, which can only name the Job once that is there.
		if _, err := c.client.CoreV1().Secrets(c.namespace).Create(ctx, plan.CheckSecret(r, job, in.Secrets), metav1.CreateOptions{FieldManager: release.Manager}); err != nil {
			return seen, fmt.Errorf("create the Secret %s: %w", job.Name, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, plan.CheckTime)
	defer cancel()
	return c.lookedAt(ctx, job)
}

// lookedAt waits for the end of a look and says what it saw.
func (c *Cluster) lookedAt(ctx context.Context, job *batchv1.Job) (seen plan.Checked, err error) {
	var pod *corev1.Pod
	waitErr := c.until(ctx, func() (bool, error) {
		pods, err := c.pods(labels.Set{batchv1.JobNameLabel: job.Name})
		if err != nil || len(pods) == 0 {
			return false, err
		}
		pod = pods[0]
		return !slices.ContainsFunc(pod.Spec.Containers, func(container corev1.Container) bool { return undecided(pod, container.Name) }), nil
	})
	if waitErr != nil && ctx.Err() == nil {
		return seen, waitErr
	}
	if pod == nil {
		return seen, fmt.Errorf("the Job %s made no pod (a quota or an admission policy may forbid it): kubectl --namespace=%s get events", job.Name, c.namespace)
	}
	for _, container := range pod.Spec.Containers {
		switch {
		case container.Name == plan.CheckImage:
			seen.Unpullable, seen.Pulling = unpullable(pod, container.Name), undecided(pod, container.Name)
		default:
			seen.Database, seen.Trouble = c.toldState(context.WithoutCancel(ctx), pod, container.Name)
		}
	}
	return seen, nil
}

// status returns how a container is, nil before the kubelet has told.
func status(p *corev1.Pod, container string) *corev1.ContainerState {
	for i := range p.Status.ContainerStatuses {
		if s := &p.Status.ContainerStatuses[i]; s.Name == container {
			return &s.State
		}
	}
	return nil
}

// undecided reports whether the container has neither ended nor can never start.
func undecided(p *corev1.Pod, container string) bool {
	s := status(p, container)
	return s == nil || s.Terminated == nil && unpullable(p, container) == ""
}

// unpullable says why the container's image cannot be pulled, empty if it can or
// that is not known yet.
func unpullable(p *corev1.Pod, container string) string {
	s := status(p, container)
	if s == nil || s.Waiting == nil || s.Waiting.Reason != "ImagePullBackOff" && s.Waiting.Reason != "InvalidImageName" {
		return ""
	}
	return strings.TrimSpace(s.Waiting.Reason + ": " + s.Waiting.Message)
}

// toldState reads what the container told of the database, or why it did not.
func (c *Cluster) toldState(ctx context.Context, p *corev1.Pod, container string) (*migrate.State, string) {
	if undecided(p, container) {
		return nil, fmt.Sprintf("the pod %s had no answer after %s: %s", p.Name, plan.CheckTime, c.story(ctx, p))
	}
	if why := unpullable(p, container); why != "" {
		return nil, "the bundle cannot be pulled: " + why
	}
	text, err := c.podLog(ctx, p.Name, container)
	if err != nil {
		return nil, fmt.Sprintf("the log of the pod %s cannot be read: %v", p.Name, err)
	}
	state, found := migrate.ParseState(text)
	switch {
	case !found:
		return nil, "the pod " + p.Name + " ended without an answer: " + strings.TrimSpace(text)
	case state.Error != "":
		return nil, state.Error
	default:
		return &state, ""
	}
}

package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"

	"cutover.dev/ci/release"
)

// WaitReady waits until at least size pods of the release are ready on the
// colour. It ends early when a pod shows that it never will be. The error names
// the pods that are not ready, and why.
func (c *Cluster) WaitReady(ctx context.Context, r release.Release, colour release.Colour, size int) error {
	set := labels.Set{release.LabelColour: string(colour), release.LabelRelease: r.ID}
	var pods []*corev1.Pod
	err := c.until(ctx, func() (bool, error) {
		var err error
		if pods, err = c.pods(set); err != nil {
			return false, err
		}
		for _, p := range pods {
			if why := hopeless(p); why != "" {
				return false, c.evidence(ctx, p, neverReady+why)
			}
		}
		return countReady(pods) >= size, nil
	})
	if err != nil && ctx.Err() != nil {
		return errors.New(c.unready(context.WithoutCancel(ctx), pods, size))
	}
	return err
}

// WaitEnded waits until the pod is no more.
func (c *Cluster) WaitEnded(ctx context.Context, pod string) error {
	err := c.until(ctx, func() (bool, error) {
		_, err := c.informers.Core().V1().Pods().Lister().Pods(c.namespace).Get(pod)
		return apierrors.IsNotFound(err), gone(err)
	})
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("the pod %s has not ended: %w", pod, err)
	}
	return err
}

// WaitGone waits until no pod of the colour is left.
func (c *Cluster) WaitGone(ctx context.Context, colour release.Colour) error {
	left := 0
	err := c.until(ctx, func() (bool, error) {
		pods, err := c.pods(c.names.Selector(colour))
		left = len(pods)
		return left == 0, err
	})
	if err != nil && left > 0 {
		return fmt.Errorf("%d pods of %s have not ended: %w", left, colour, err)
	}
	return err
}

// WaitEndpoints waits until the live Service leads to ready pods of the colour,
// at least size of them, and to nothing else.
func (c *Cluster) WaitEndpoints(ctx context.Context, colour release.Colour, size int) error {
	var state string
	err := c.until(ctx, func() (bool, error) {
		slices, err := c.endpointSlices(c.names.Live())
		if err != nil {
			return false, err
		}
		own, foreign := 0, 0
		for _, s := range slices {
			for _, e := range s.Endpoints {
				if e.Conditions.Ready != nil && !*e.Conditions.Ready {
					continue // not sent to
				}
				if e.TargetRef != nil && c.isColour(e.TargetRef.Name, colour) {
					own++
				} else {
					foreign++
				}
			}
		}
		state = fmt.Sprintf("%d ready pods of %s and %d other addresses", own, colour, foreign)
		return own >= size && foreign == 0, nil
	})
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("the Service %s leads to %s, wanted %d and 0", c.names.Live(), state, size)
	}
	return err
}

func (c *Cluster) isColour(pod string, colour release.Colour) bool {
	p, err := c.informers.Core().V1().Pods().Lister().Pods(c.namespace).Get(pod)
	return err == nil && p.Labels[release.LabelColour] == string(colour)
}

func countReady(pods []*corev1.Pod) int {
	n := 0
	for _, p := range pods {
		if isReady(p) {
			n++
		}
	}
	return n
}

func isReady(p *corev1.Pod) bool {
	_, ready := readySince(p)
	return p.DeletionTimestamp == nil && ready
}

// readySince returns when the pod became ready, to the second, if it is.
func readySince(p *corev1.Pod) (since time.Time, ready bool) {
	for _, cond := range p.Status.Conditions {
		if cond.Type == corev1.PodReady && cond.Status == corev1.ConditionTrue {
			return cond.LastTransitionTime.Time, true
		}
	}
	return time.Time{}, false
}

// final are the reasons for waiting that the kubelet does not get over by
// itself, or only by luck. ErrImagePull is not among them: the kubelet tries
// once more before it says ImagePullBackOff.
var final = []string{"ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError", "CrashLoopBackOff", "RunContainerError"}

// hopeless returns why the pod will not become ready, empty while it may.
func hopeless(p *corev1.Pod) string {
	if p.Status.Phase == corev1.PodFailed {
		return strings.TrimSpace(p.Status.Reason + " " + p.Status.Message)
	}
	for _, s := range p.Status.ContainerStatuses {
		if w := s.State.Waiting; w != nil && slices.Contains(final, w.Reason) && !strings.HasPrefix(w.Message, unsynced) {
			return strings.TrimSpace(w.Reason + ": " + w.Message)
		}
	}
	return ""
}

// unsynced begins what a kubelet says that has not heard from the API server yet, as
// after an outage of either: it tries again.
const unsynced = "failed to sync "

// unready says of each pod that is not ready how it is and what was last
// reported about it.
func (c *Cluster) unready(ctx context.Context, pods []*corev1.Pod, want int) string {
	text := fmt.Sprintf("%d of %d pods are ready", countReady(pods), want)
	if len(pods) == 0 {
		return text + "; none was made (a quota or an admission policy may forbid it): kubectl --namespace=" + c.namespace + " get events"
	}
	for _, p := range pods {
		if !isReady(p) {
			text += fmt.Sprintf("; %s: %s", p.Name, c.story(ctx, p))
		}
	}
	return text
}

// story tells how a pod is: its scheduling, its container's state, and the last
// warning about it.
func (c *Cluster) story(ctx context.Context, p *corev1.Pod) string {
	state := string(p.Status.Phase)
	for _, cond := range p.Status.Conditions {
		if cond.Type == corev1.PodScheduled && cond.Status == corev1.ConditionFalse {
			state = cond.Reason + ": " + cond.Message
		}
	}
	for _, s := range p.Status.ContainerStatuses {
		if w := s.State.Waiting; w != nil {
			state = w.Reason + " " + w.Message
		}
	}
	if warning := c.lastWarning(ctx, p); warning != "" {
		state += ", " + warning
	}
	return strings.TrimSpace(state)
}

// lastWarning returns the newest warning event about a pod, empty if there is
// none or events cannot be read: a missing detail is no error of its own.
func (c *Cluster) lastWarning(ctx context.Context, p *corev1.Pod) string {
	events, _ := c.events(ctx, p)
	for _, e := range slices.Backward(events) {
		if e.Type == corev1.EventTypeWarning {
			return e.Message
		}
	}
	return ""
}

func eventTime(e corev1.Event) time.Time {
	if !e.LastTimestamp.IsZero() {
		return e.LastTimestamp.Time
	}
	return e.EventTime.Time
}

package kube

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"cutover.dev/ci/redact"
	"cutover.dev/ci/release"
	"cutover.dev/ci/rollout"
)

// WaitCrash implements rollout.Colours.
func (c *Cluster) WaitCrash(ctx context.Context, r release.Release, colour release.Colour) error {
	var pod *corev1.Pod
	var what string
	homeless := map[types.UID]time.Time{} // pods without a node, and when they were first seen so
	look := func() (bool, error) {
		pods, err := c.pods(labels.Set{release.LabelColour: string(colour), release.LabelRelease: r.ID})
		if err != nil {
			return false, err
		}
		for _, p := range pods {
			if what = crashed(p, r.Env.Raise.Restarts); what == "" {
				what = c.unschedulable(p, homeless)
			}
			if what != "" {
				pod = p
				return true, nil
			}
		}
		return false, nil
	}
	if err := c.until(ctx, look); err != nil {
		if found, _ := look(); !found { // it may have come in the very moment in which ctx ended
			return err
		}
	}
	return c.evidence(ctx, pod, what)
}

// neverReady begins the sentence about a pod that can not live.
const neverReady = "cannot become ready: "

// crashed says why the pod is a crashed one, empty if it is not. One that is
// being taken away ends as it pleases.
func crashed(p *corev1.Pod, tolerated int) string {
	if p.DeletionTimestamp != nil {
		return ""
	}
	if why := hopeless(p); why != "" {
		return neverReady + why
	}
	for _, s := range p.Status.ContainerStatuses {
		ends, last := int(s.RestartCount), s.LastTerminationState.Terminated
		if now := s.State.Terminated; now != nil { // it has ended and was not started again yet
			ends, last = ends+1, now
		}
		if ends > tolerated && last != nil {
			return fmt.Sprintf("crashed: %s (exit code %d) after %s", last.Reason, last.ExitCode, last.FinishedAt.Sub(last.StartedAt.Time))
		}
	}
	return ""
}

// patience is how long a pod may be without a node. What is only just leaving one
// makes room within that time.
const patience = 15 * time.Second

// unschedulable says that no node takes the pod, once that is so for long enough
// by this machine's own clock.
func (c *Cluster) unschedulable(p *corev1.Pod, since map[types.UID]time.Time) string {
	i := slices.IndexFunc(p.Status.Conditions, func(cond corev1.PodCondition) bool {
		return cond.Type == corev1.PodScheduled && cond.Reason == corev1.PodReasonUnschedulable
	})
	if i < 0 || p.DeletionTimestamp != nil {
		return ""
	}
	first, seen := since[p.UID]
	if !seen {
		since[p.UID] = time.Now()
		time.AfterFunc(patience, c.signal) // nothing else may come to pass until then
		return ""
	}
	if time.Since(first) < patience || c.growing(p) {
		return ""
	}
	return fmt.Sprintf("is taken by no node for %s: %s", patience, p.Status.Conditions[i].Message)
}

// growing reports whether a node is being made for the pod. These are the events
// of the cluster autoscaler and of Karpenter; without the right to read events
// nobody is called crashed for want of a node.
func (c *Cluster) growing(p *corev1.Pod) bool {
	events, err := c.events(context.Background(), p)
	return err != nil || slices.ContainsFunc(events, func(e corev1.Event) bool {
		return e.Reason == "TriggeredScaleUp" || e.Reason == "Nominated"
	})
}

const (
	// looking bounds the time to gather evidence: traffic may be on the bad version.
	looking = 2 * time.Second
	// lastLines and lastBytes bound the log, lastEvents the events that are shown.
	lastLines, lastBytes, lastEvents = 10, 2048, 3
)

// evidence is what can be told about a crash. A detail that cannot be had is left
// out: it is no error of its own.
func (c *Cluster) evidence(ctx context.Context, p *corev1.Pod, what string) *rollout.Crash {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), looking)
	defer cancel()
	crash := &rollout.Crash{Pod: p.Name, What: what}
	secrets, err := c.hider(ctx, p.Labels[release.LabelRelease])
	if err != nil {
		return crash
	}
	for _, line := range c.lastWords(ctx, p) {
		crash.Log = append(crash.Log, secrets.Hide(line))
	}
	events, _ := c.events(ctx, p)
	for _, e := range events[max(0, len(events)-lastEvents):] {
		crash.Events = append(crash.Events, secrets.Hide(e.Reason+": "+strings.TrimSpace(e.Message)))
	}
	return crash
}

// hider hides a release's secrets: what an application says may hold what it was
// given.
func (c *Cluster) hider(ctx context.Context, id string) (*redact.Secrets, error) {
	values, err := c.Secrets(ctx, id)
	if err != nil {
		return nil, err
	}
	secrets := new(redact.Secrets)
	for _, v := range values {
		secrets.Add(v)
	}
	return secrets, nil
}

// lastWords returns the last lines of the container that ended, none if none did.
func (c *Cluster) lastWords(ctx context.Context, p *corev1.Pod) (lines []string) {
	for _, s := range p.Status.ContainerStatuses {
		if s.State.Terminated == nil && s.LastTerminationState.Terminated == nil {
			continue
		}
		stream, err := c.client.CoreV1().Pods(p.Namespace).GetLogs(p.Name, &corev1.PodLogOptions{
			Container: s.Name, Previous: s.State.Terminated == nil, TailLines: new(int64(lastLines)), LimitBytes: new(int64(lastBytes)),
		}).Stream(ctx)
		if err != nil {
			continue
		}
		for log := bufio.NewScanner(stream); log.Scan(); {
			lines = append(lines, log.Text())
		}
		stream.Close()
	}
	return lines
}

// events returns the events about a pod, the newest last. A cluster keeps them for
// an hour.
func (c *Cluster) events(ctx context.Context, p *corev1.Pod) ([]corev1.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, looking)
	defer cancel()
	list, err := c.client.CoreV1().Events(p.Namespace).List(ctx, metav1.ListOptions{
		FieldSelector: fields.Set{"involvedObject.kind": "Pod", "involvedObject.name": p.Name}.String(),
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(list.Items, func(a, b corev1.Event) int { return eventTime(a).Compare(eventTime(b)) })
	return list.Items, nil
}

package kube

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"cutover.dev/ci/agent"
	"cutover.dev/ci/plan"
	"cutover.dev/ci/probe"
	"cutover.dev/ci/release"
)

// StartAgent makes the agent's pod for a run, unless this run's is there
// already, and begins to read what it sees. Another run's pod is removed first.
func (c *Cluster) StartAgent(ctx context.Context, rec *release.Record, lifetime time.Duration) error {
	if err := c.grantAgent(ctx, rec); err != nil {
		return err
	}
	pod := plan.AgentPod(rec, lifetime)
	pod.Annotations = map[string]string{annotationRun: rec.Run}
	pods := c.client.CoreV1().Pods(c.namespace)
	var uid types.UID
	if err := c.write(ctx, "create the agent's pod "+pod.Name, func(ctx context.Context) error {
		made, err := pods.Create(ctx, pod, metav1.CreateOptions{FieldManager: release.Manager})
		if apierrors.IsAlreadyExists(err) {
			made, err = c.replaceAgent(ctx, pod)
		}
		if err == nil {
			uid = made.UID
		}
		return err
	}); err != nil {
		return err
	}
	if c.startFollowing(uid) {
		go c.followAgent(c.watching, pod.Name, uid)
	}
	return nil
}

// grantAgent gives the agent the few rights that its guard needs.
func (c *Cluster) grantAgent(ctx context.Context, rec *release.Record) error {
	if err := apply(ctx, c, c.client.CoreV1().ServiceAccounts(c.namespace), plan.AgentAccount(rec)); err != nil {
		return err
	}
	if err := apply(ctx, c, c.client.RbacV1().Roles(c.namespace), plan.AgentRole(rec)); err != nil {
		return err
	}
	if err := apply(ctx, c, c.client.RbacV1().RoleBindings(c.namespace), plan.AgentRoleBinding(rec)); err != nil {
		return err
	}
	report := plan.GuardConfigMap(rec)
	return create(ctx, c, c.client.CoreV1().ConfigMaps(c.namespace), report, func(*corev1.ConfigMap) bool { return true })
}

// startFollowing reports whether nobody follows the pod yet; what another pod saw
// is forgotten then.
func (c *Cluster) startFollowing(uid types.UID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen.of == uid {
		return false
	}
	c.seen = sightings{of: uid, last: map[string]agent.Sighting{}, seconds: map[string][]probe.Second{}, measured: map[string][]agent.Measurement{}}
	return true
}

// annotationRun tells whose agent a pod is.
const annotationRun = "cutover.dev/run"

// replaceAgent returns the pod that has the agent's name if it is this run's and
// still lives, and else puts a new one in its place.
func (c *Cluster) replaceAgent(ctx context.Context, pod *corev1.Pod) (*corev1.Pod, error) {
	pods := c.client.CoreV1().Pods(c.namespace)
	old, err := pods.Get(ctx, pod.Name, metav1.GetOptions{})
	if err == nil {
		ended := old.DeletionTimestamp != nil || old.Status.Phase == corev1.PodFailed || old.Status.Phase == corev1.PodSucceeded
		if !ended && old.Annotations[annotationRun] == pod.Annotations[annotationRun] {
			return old, nil
		}
		err = pods.Delete(ctx, old.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0)), Preconditions: &metav1.Preconditions{UID: &old.UID}})
	}
	if gone(err) != nil {
		return nil, err
	}
	if err := c.until(ctx, func() (bool, error) {
		seen, err := c.informers.Core().V1().Pods().Lister().Pods(c.namespace).Get(pod.Name)
		return apierrors.IsNotFound(err) || err == nil && (old == nil || seen.UID != old.UID), gone(err)
	}); err != nil {
		return nil, err
	}
	return pods.Create(ctx, pod, metav1.CreateOptions{FieldManager: release.Manager})
}

// StopAgent deletes the agent's pod.
func (c *Cluster) StopAgent(ctx context.Context) error {
	return c.write(ctx, "delete the agent's pod", func(ctx context.Context) error {
		return gone(c.client.CoreV1().Pods(c.namespace).Delete(ctx, c.names.Agent(), metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}))
	})
}

// followAgent reads the agent's log until ctx ends, again from the start when
// the stream breaks: lines only ever say how things are, so that reading one
// twice does no harm.
func (c *Cluster) followAgent(ctx context.Context, name string, uid types.UID) {
	for ctx.Err() == nil && c.follows(uid) {
		err := c.until(ctx, func() (bool, error) {
			p, err := c.informers.Core().V1().Pods().Lister().Pods(c.namespace).Get(name)
			if err != nil || p.UID != uid {
				return false, nil
			}
			if why := hopeless(p); why != "" {
				c.saw(uid, func(s *sightings) { s.broken = "the agent's pod " + name + " cannot look: " + why })
			}
			return p.Status.Phase == corev1.PodRunning, nil
		})
		if err != nil {
			return
		}
		c.readAgent(ctx, name, uid)
		select { // a stream that ended at once must not be asked for in a tight loop
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func (c *Cluster) readAgent(ctx context.Context, name string, uid types.UID) {
	stream, err := c.client.CoreV1().Pods(c.namespace).GetLogs(name, &corev1.PodLogOptions{Follow: true}).Stream(ctx)
	if err != nil {
		return
	}
	defer stream.Close()
	lines := bufio.NewScanner(stream)
	for lines.Scan() {
		if line, ok := agent.Parse(lines.Bytes()); ok {
			c.saw(uid, func(seen *sightings) { seen.add(line) })
		}
	}
}

// sightings is what the agent told: the newest about each target, every second of
// each prober, and every answer of Prometheus.
type sightings struct {
	of      types.UID // the agent's pod
	clock   time.Time
	last    map[string]agent.Sighting
	seconds map[string][]probe.Second
	// measured is in the order of its times, for each metric.
	measured map[string][]agent.Measurement
	broken   string
}

// add takes one line. A log that is read once more begins from its start.
func (s *sightings) add(line agent.Line) {
	if seen := line.Sighting; seen != nil {
		if seen.At.After(s.clock) {
			s.clock = seen.At
		}
		if !seen.At.Before(s.last[seen.Target].At) {
			s.last[seen.Target] = *seen
		}
	}
	if m := line.Measurement; m != nil {
		all := s.measured[m.Metric]
		if n := len(all); n == 0 || m.At.After(all[n-1].At) {
			s.measured[m.Metric] = append(all, *m)
		}
	}
	if line.Probe == "" {
		return
	}
	all := s.seconds[line.Probe]
	if n := len(all); n == 0 || line.Second.At.After(all[n-1].At) {
		s.seconds[line.Probe] = append(all, line.Second)
	}
}

func (c *Cluster) saw(uid types.UID, change func(*sightings)) {
	c.mu.Lock()
	if c.seen.of == uid { // else a newer pod has taken its place
		change(&c.seen)
	}
	c.mu.Unlock()
	c.signal()
}

// WaitAnswers waits until the target answered so many times in a row, each on a
// fresh connection and since the call, with the release's version. It returns
// what it saw, also when that was not enough.
func (c *Cluster) WaitAnswers(ctx context.Context, target string, r release.Release, inARow int) (agent.Sighting, error) {
	before := c.sighting(target)
	var last agent.Sighting
	err := c.until(ctx, func() (bool, error) {
		if broken := c.agentBroken(); broken != "" {
			return false, errors.New(broken)
		}
		last = c.sighting(target)
		if last.Asked < before.Asked {
			before = agent.Sighting{} // the agent was started again
		}
		return last.Streak >= inARow && last.Asked >= before.Asked+inARow && last.Last.Is(r.Version, r.ID), nil
	})
	if err == nil || ctx.Err() == nil {
		return last, err
	}
	return last, fmt.Errorf("%s did not answer %d times in a row with version %s (release %s): %s", target, inARow, r.Version, r.ID, describe(last))
}

// Clock implements rollout.Agent.
func (c *Cluster) Clock(ctx context.Context) (time.Time, error) {
	var at time.Time
	err := c.until(ctx, func() (bool, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		at = c.seen.clock
		if c.seen.broken != "" {
			return false, errors.New(c.seen.broken)
		}
		return !at.IsZero(), nil
	})
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("the agent has not told anything yet: %w", err)
	}
	return at, err
}

// WaitProbe implements rollout.Agent.
func (c *Cluster) WaitProbe(ctx context.Context, target string, since time.Time, enough func(probe.Tally) (bool, error)) error {
	var seen probe.Tally
	err := c.until(ctx, func() (bool, error) {
		if broken := c.agentBroken(); broken != "" {
			return false, errors.New(broken)
		}
		seen = probe.Tally{From: since}
		for _, s := range c.Series(target) {
			seen.Add(s)
		}
		return enough(seen)
	})
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("the prober of %s saw too little: %d requests in %d s: %w", target, seen.OK+seen.Failed, seen.Watched, err)
	}
	return err
}

// Series implements rollout.Agent.
func (c *Cluster) Series(target string) []probe.Second {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.seen.seconds[target])
}

// Measured implements rollout.Agent.
func (c *Cluster) Measured(metric string) []agent.Measurement {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.seen.measured[metric])
}

func (c *Cluster) sighting(target string) agent.Sighting {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen.last[target]
}

func (c *Cluster) follows(uid types.UID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen.of == uid
}

func (c *Cluster) agentBroken() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen.broken
}

func describe(s agent.Sighting) string {
	switch {
	case s.Asked == 0:
		return "the agent has not asked yet"
	case s.Error != "":
		return s.Error
	default:
		return fmt.Sprintf("%d in a row were version %s (release %s)", s.Streak, s.Last.Version, s.Last.Release)
	}
}

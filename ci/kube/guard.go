package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"cutover.dev/ci/agent"
	"cutover.dev/ci/release"
)

// keyReport is the key of the guard's ConfigMap.
const keyReport = "report"

// Guard is what the agent's guard does in the cluster, with the agent's own few
// rights. It is not safe for concurrent use.
type Guard struct {
	cluster *Cluster
	config  *corev1.ConfigMap // as last read or written: its resourceVersion fences the next write
}

// NewGuard returns the guard of the cluster's application.
func NewGuard(c *Cluster) *Guard { return &Guard{cluster: c} }

var _ agent.GuardCluster = (*Guard)(nil)

// Guarded implements rollout.Agent.
func (c *Cluster) Guarded(ctx context.Context, run string) (*release.GuardReport, error) {
	var report *release.GuardReport
	err := persist(ctx, func(ctx context.Context) (err error) {
		report, err = NewGuard(c).Reported(ctx)
		return err
	})
	if err != nil || report == nil || report.Run != run {
		return nil, err
	}
	return report, nil
}

// Lease implements agent.GuardCluster.
func (g *Guard) Lease(ctx context.Context) (agent.Lease, error) {
	c := g.cluster
	lease, err := c.client.CoordinationV1().Leases(c.namespace).Get(ctx, c.names.Head(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return agent.Lease{}, nil
	}
	if err != nil {
		return agent.Lease{}, fmt.Errorf("read the Lease %s: %w", c.names.Head(), err)
	}
	return seenLease(lease), nil
}

func seenLease(lease *coordinationv1.Lease) agent.Lease {
	seen := agent.Lease{Holder: holderOf(lease), Duration: leaseDuration, Version: lease.ResourceVersion}
	if t := lease.Spec.RenewTime; t != nil {
		seen.Renewed = t.Time
	}
	if s := lease.Spec.LeaseDurationSeconds; s != nil && *s > 0 {
		seen.Duration = time.Duration(*s) * time.Second
	}
	return seen
}

// Selected implements agent.GuardCluster.
func (g *Guard) Selected(ctx context.Context) (release.Colour, error) {
	c := g.cluster
	live, err := c.client.CoreV1().Services(c.namespace).Get(ctx, c.names.Live(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return release.None, nil
	}
	if err != nil {
		return release.None, fmt.Errorf("read the Service %s: %w", c.names.Live(), err)
	}
	return g.selected(live), nil
}

func (g *Guard) selected(live *corev1.Service) release.Colour {
	for _, c := range []release.Colour{release.Blue, release.Green, release.Both} {
		if maps.Equal(live.Spec.Selector, g.cluster.names.Selector(c)) {
			return c
		}
	}
	return release.None
}

// ReadyPods implements agent.GuardCluster.
func (g *Guard) ReadyPods(ctx context.Context, colour release.Colour) (int, error) {
	c := g.cluster
	set := labels.SelectorFromSet(c.names.Selector(colour)).String()
	list, err := c.client.CoreV1().Pods(c.namespace).List(ctx, metav1.ListOptions{LabelSelector: set})
	if err != nil {
		return 0, fmt.Errorf("list the pods of %s: %w", colour, err)
	}
	n := 0
	for i := range list.Items {
		if isReady(&list.Items[i]) {
			n++
		}
	}
	return n, nil
}

// Reported implements agent.GuardCluster.
func (g *Guard) Reported(ctx context.Context) (*release.GuardReport, error) {
	c := g.cluster
	config, err := c.client.CoreV1().ConfigMaps(c.namespace).Get(ctx, c.names.Guard(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && config.Data[keyReport] == "" {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the guard's report (ConfigMap %s): %w", c.names.Guard(), err)
	}
	report := new(release.GuardReport)
	if err := json.Unmarshal([]byte(config.Data[keyReport]), report); err != nil {
		return nil, fmt.Errorf("the guard's report in the ConfigMap %s cannot be read: %w", config.Name, err)
	}
	return report, nil
}

// TakeLease implements agent.GuardCluster.
func (g *Guard) TakeLease(ctx context.Context, seen agent.Lease, holder string) (agent.Lease, error) {
	c := g.cluster
	leases := c.client.CoordinationV1().Leases(c.namespace)
	var taken agent.Lease
	err := c.write(ctx, "take the Lease "+c.names.Head(), func(ctx context.Context) error {
		lease, err := leases.Get(ctx, c.names.Head(), metav1.GetOptions{})
		if err != nil {
			return err
		}
		if lease.ResourceVersion != seen.Version {
			if holderOf(lease) != holder {
				return fmt.Errorf("%w: %q", agent.ErrConflict, holderOf(lease))
			}
			taken = seenLease(lease) // an earlier attempt's answer was lost
			return nil
		}
		claim(lease, holder)
		lease, err = leases.Update(ctx, lease, metav1.UpdateOptions{FieldManager: release.Manager})
		if apierrors.IsConflict(err) {
			return fmt.Errorf("%w: it was written in the same moment", agent.ErrConflict)
		}
		if err != nil {
			return err
		}
		taken = seenLease(lease)
		return nil
	})
	return taken, err
}

func claim(lease *coordinationv1.Lease, holder string) {
	now := metav1.NowMicro()
	if holderOf(lease) != holder {
		lease.Spec.LeaseTransitions = new(transitions(lease) + 1)
		lease.Spec.AcquireTime = &now
	}
	lease.Spec.HolderIdentity = &holder
	lease.Spec.RenewTime = &now
}

// DropLease implements agent.GuardCluster. When somebody else took it in the same
// moment, it is no longer ours to give back.
func (g *Guard) DropLease(ctx context.Context, holder string) error {
	c := g.cluster
	leases := c.client.CoordinationV1().Leases(c.namespace)
	return c.write(ctx, "give back the Lease "+c.names.Head(), func(ctx context.Context) error {
		lease, err := leases.Get(ctx, c.names.Head(), metav1.GetOptions{})
		if err != nil || holderOf(lease) != holder {
			return gone(err)
		}
		lease.Spec.HolderIdentity = new("")
		if _, err = leases.Update(ctx, lease, metav1.UpdateOptions{FieldManager: release.Manager}); apierrors.IsConflict(err) {
			return nil
		}
		return err
	})
}

// Report implements agent.GuardCluster. It needs the ConfigMap to be there: the
// right to create one cannot be narrowed to a name, so the runner makes it.
func (g *Guard) Report(ctx context.Context, report release.GuardReport) error {
	data, err := json.Marshal(report)
	if err != nil {
		return err
	}
	c := g.cluster
	configs := c.client.CoreV1().ConfigMaps(c.namespace)
	return c.write(ctx, "write the guard's report into the ConfigMap "+c.names.Guard(), func(ctx context.Context) error {
		if g.config == nil {
			config, err := configs.Get(ctx, c.names.Guard(), metav1.GetOptions{})
			if err != nil {
				return err
			}
			g.config = config
		}
		next := g.config.DeepCopy()
		next.Data = map[string]string{keyReport: string(data)}
		written, err := configs.Update(ctx, next, metav1.UpdateOptions{FieldManager: release.Manager})
		if apierrors.IsConflict(err) {
			if written, err = configs.Get(ctx, next.Name, metav1.GetOptions{}); err != nil {
				return err
			}
			if written.Data[keyReport] != string(data) {
				return fmt.Errorf("%w: it was written in the same moment", agent.ErrConflict)
			}
			// It was our own write, its answer lost.
		}
		if err == nil {
			g.config = written
		}
		return err
	})
}

// SwitchBack implements agent.GuardCluster.
func (g *Guard) SwitchBack(ctx context.Context, from, to release.Colour) error {
	what := fmt.Sprintf("switch the Service %s back to %s", g.cluster.names.Live(), to)
	return g.cluster.write(ctx, what, func(ctx context.Context) (err error) {
		for range races {
			if err = g.switchOnce(ctx, from, to); !raced(err) {
				break // else its test failed: what the Service selects now decides
			}
		}
		return err
	})
}

// switchOnce switches by one write that tests what it replaces.
func (g *Guard) switchOnce(ctx context.Context, from, to release.Colour) error {
	c := g.cluster
	services := c.client.CoreV1().Services(c.namespace)
	live, err := services.Get(ctx, c.names.Live(), metav1.GetOptions{})
	if err != nil {
		return err
	}
	switch g.selected(live) {
	case to:
		return nil // an earlier attempt's answer was lost, or there was nothing to do
	case from, release.Both:
	default:
		return fmt.Errorf("%w: it selects %v", agent.ErrConflict, live.Spec.Selector)
	}
	patch, err := selectorPatch(live.ResourceVersion, live.Spec.Selector, c.names.Selector(to))
	if err != nil {
		return err
	}
	_, err = services.Patch(ctx, live.Name, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: release.Manager})
	return err
}

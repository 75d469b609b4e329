package kube

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"cutover.dev/ci/outcome"
	"cutover.dev/ci/release"
	"cutover.dev/ci/rollout"
)

// The Lease's times, those of client-go's own leader election: a holder renews
// every leaseRenew, and one that has not for leaseDuration counts as gone.
const (
	leaseDuration = 15 * time.Second
	leaseRenew    = 2 * time.Second
)

// Lock takes the application's Lease for holder and keeps it until release is
// called or ctx ends. The returned context ends with cause rollout.ErrLockLost
// when another holder has taken over. That the API server does not answer is no
// loss: the Lease is renewed as soon as it does.
func (c *Cluster) Lock(ctx context.Context, holder string) (held context.Context, unlock func(), err error) {
	lease, err := c.takeLease(ctx, holder)
	if err != nil {
		return nil, nil, err
	}
	held, lose := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.keepLease(held, lease, holder, lose)
	}()
	return held, func() {
		lose(context.Canceled)
		<-done
		c.dropLease(context.WithoutCancel(ctx), holder)
	}, nil
}

func (c *Cluster) takeLease(ctx context.Context, holder string) (*coordinationv1.Lease, error) {
	leases := c.client.CoordinationV1().Leases(c.namespace)
	var taken *coordinationv1.Lease
	err := c.write(ctx, "take the Lease "+c.names.Head(), func(ctx context.Context) error {
		lease, err := leases.Get(ctx, c.names.Head(), metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			taken, err = leases.Create(ctx, c.newLease(holder), metav1.CreateOptions{FieldManager: release.Manager})
			if apierrors.IsNotFound(err) {
				return outcome.Refusef("kubectl create namespace "+c.namespace, "there is no namespace %q in this cluster", c.namespace)
			}
			return err
		}
		if err != nil {
			return err
		}
		if who := holderOf(lease); who != "" && who != holder {
			if alive(lease) {
				return c.locked(lease)
			}
			lease.Spec.LeaseTransitions = new(transitions(lease) + 1)
		}
		lease.Spec.HolderIdentity = &holder
		lease.Spec.AcquireTime = new(metav1.NowMicro())
		lease.Spec.RenewTime = new(metav1.NowMicro())
		taken, err = leases.Update(ctx, lease, metav1.UpdateOptions{FieldManager: release.Manager})
		return err
	})
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return nil, outcome.Refusef("dagger call status --env="+c.env, "another run took the Lease %s in the same moment", c.names.Head())
	}
	return taken, err
}

func (c *Cluster) newLease(holder string) *coordinationv1.Lease {
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: c.names.Head(), Namespace: c.namespace, Labels: c.names.Labels()},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity:       &holder,
			LeaseDurationSeconds: new(int32(leaseDuration / time.Second)),
			AcquireTime:          new(metav1.NowMicro()),
			RenewTime:            new(metav1.NowMicro()),
		},
	}
}

// locked says who holds the Lease and since when.
func (c *Cluster) locked(lease *coordinationv1.Lease) error {
	since := "an unknown time"
	if t := lease.Spec.AcquireTime; t != nil {
		since = t.UTC().Format(time.RFC3339)
	}
	return outcome.Refusef("dagger call status --env="+c.env+"   (until it has ended), then the same command again",
		"another run is at work on %s: %s, since %s", c.names.App, holderOf(lease), since)
}

// keepLease renews until ctx ends. Only another holder's name is loss.
func (c *Cluster) keepLease(ctx context.Context, lease *coordinationv1.Lease, holder string, lose context.CancelCauseFunc) {
	leases := c.client.CoordinationV1().Leases(c.namespace)
	tick := time.NewTicker(leaseRenew)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		lease.Spec.RenewTime = new(metav1.NowMicro())
		renewed, err := leases.Update(ctx, lease, metav1.UpdateOptions{FieldManager: release.Manager})
		if err == nil {
			lease = renewed
			continue
		}
		found, err := leases.Get(ctx, lease.Name, metav1.GetOptions{})
		switch {
		case err != nil:
			continue // no answer: whether it is still ours will be seen when there is one
		case holderOf(found) != holder:
			lose(fmt.Errorf("%w: %s has it now", rollout.ErrLockLost, holderOf(found)))
			return
		}
		lease = found
	}
}

// dropLease gives the Lease back. When that fails it expires by itself.
func (c *Cluster) dropLease(ctx context.Context, holder string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	leases := c.client.CoordinationV1().Leases(c.namespace)
	lease, err := leases.Get(ctx, c.names.Head(), metav1.GetOptions{})
	if err != nil || holderOf(lease) != holder {
		return
	}
	lease.Spec.HolderIdentity = new("")
	_, _ = leases.Update(ctx, lease, metav1.UpdateOptions{FieldManager: release.Manager})
}

// Holder returns who holds the application's Lease now, empty if nobody does.
func (c *Cluster) Holder(ctx context.Context) (string, error) {
	lease, err := c.client.CoordinationV1().Leases(c.namespace).Get(ctx, c.names.Head(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the Lease %s: %w", c.names.Head(), err)
	}
	if !alive(lease) {
		return "", nil
	}
	return holderOf(lease), nil
}

func holderOf(lease *coordinationv1.Lease) string {
	if lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

func alive(lease *coordinationv1.Lease) bool {
	return holderOf(lease) != "" && lease.Spec.RenewTime != nil && time.Since(lease.Spec.RenewTime.Time) < leaseDuration
}

func transitions(lease *coordinationv1.Lease) int32 {
	if lease.Spec.LeaseTransitions == nil {
		return 0
	}
	return *lease.Spec.LeaseTransitions
}

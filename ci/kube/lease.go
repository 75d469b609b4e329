package kube

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"cutover.dev/ci/outcome"
	"cutover.dev/ci/release"
	"cutover.dev/ci/rollout"
)

// The Lease's times, those of client-go's own leader election: a holder renews
// every leaseRenew, and one that has not for leaseDuration counts as gone. Clocks
// differ between machines, so that this is observed by one's own clock, every
// leaseLook; only a renewal older than leaseForgotten is believed to be as old as
// it says: nobody shall wait at night for a run that died long ago.
const (
	leaseDuration  = 15 * time.Second
	leaseRenew     = 2 * time.Second
	leaseLook      = time.Second
	leaseForgotten = time.Minute
)

// annotationStop on a Lease asks its holder to take the run back; its value says
// who asks.
const annotationStop = "cutover.dev/stop-asked-by"

// lock is the Lease as a run holds it.
type lock struct {
	cluster *Cluster
	holder  string
	held    context.Context
	cancel  context.CancelCauseFunc
	stop    func() // ends the renewing, and returns when it has ended
}

// Lock implements rollout.Locker. When another process has the Lease, it waits
// until that is seen to renew it, which is a refusal, or has not for as long as a
// Lease lasts: then it was killed. The Lease is renewed until Unlock, also after
// ctx has ended: an undo needs it. That the API server does not answer is no
// loss: the Lease is renewed as soon as it does.
func (c *Cluster) Lock(ctx context.Context, holder string) (rollout.Lock, error) {
	stale, err := c.waitStale(ctx, holder)
	if err != nil {
		return nil, err
	}
	lease, err := c.takeLease(ctx, holder, stale)
	if err != nil {
		return nil, err
	}
	held, cancel := context.WithCancelCause(ctx)
	renewing, end := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.keepLease(renewing, lease, holder, cancel)
	}()
	return &lock{cluster: c, holder: holder, held: held, cancel: cancel, stop: func() { end(); <-done }}, nil
}

// Context implements rollout.Lock.
func (l *lock) Context() context.Context { return l.held }

// Confirm implements rollout.Lock.
func (l *lock) Confirm(ctx context.Context) error {
	lease, err := l.cluster.lease(ctx)
	if err != nil {
		return err
	}
	if holder := holderOf(lease); holder != l.holder {
		return lostTo(holder)
	}
	return nil
}

func lostTo(holder string) error {
	if holder == "" {
		holder = "nobody"
	}
	return fmt.Errorf("%w: %s has it now", rollout.ErrLockLost, holder)
}

// Unlock implements rollout.Lock. When the Lease cannot be given back, it expires
// by itself.
func (l *lock) Unlock() {
	l.cancel(context.Canceled)
	l.stop()
	l.cluster.dropLease(context.WithoutCancel(l.held), l.holder)
}

// waitStale returns the version of a Lease whose holder is gone, empty when nobody
// has it. The error says who is at work.
func (c *Cluster) waitStale(ctx context.Context, holder string) (version string, err error) {
	tick := time.NewTicker(leaseLook)
	defer tick.Stop()
	var first *coordinationv1.Lease
	for since := time.Now(); ; {
		lease, err := c.lease(ctx)
		switch {
		case err != nil || lease == nil:
			return "", err
		case holderOf(lease) == "" || holderOf(lease) == holder:
			return "", nil
		case first != nil && !lease.Spec.RenewTime.Equal(first.Spec.RenewTime):
			return "", c.locked(lease)
		case time.Since(since) >= leaseDuration, age(lease) >= leaseForgotten:
			return lease.ResourceVersion, nil
		}
		first = lease
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// lease returns the application's Lease, nil if there is none.
func (c *Cluster) lease(ctx context.Context) (lease *coordinationv1.Lease, err error) {
	err = c.write(ctx, "read the Lease "+c.names.Head(), func(ctx context.Context) error {
		lease, err = c.client.CoordinationV1().Leases(c.namespace).Get(ctx, c.names.Head(), metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			lease, err = nil, nil
		}
		return err
	})
	return lease, err
}

// takeLease takes the Lease when nobody has it, or its version is the one that
// was seen to be stale.
func (c *Cluster) takeLease(ctx context.Context, holder, stale string) (*coordinationv1.Lease, error) {
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
			if lease.ResourceVersion != stale {
				return c.locked(lease)
			}
			lease.Spec.LeaseTransitions = new(transitions(lease) + 1)
		}
		delete(lease.Annotations, annotationStop)
		lease.Spec.HolderIdentity = &holder
		lease.Spec.AcquireTime = new(metav1.NowMicro())
		lease.Spec.RenewTime = new(metav1.NowMicro())
		taken, err = leases.Update(ctx, lease, metav1.UpdateOptions{FieldManager: release.Manager})
		return err
	})
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return nil, c.beaten(ctx)
	}
	return taken, err
}

// beaten says that another run was faster, and which, if it can be told.
func (c *Cluster) beaten(ctx context.Context) error {
	who := ""
	if lease, err := c.lease(ctx); err == nil && lease != nil && holderOf(lease) != "" {
		who = ": " + holderOf(lease)
	}
	return outcome.Refusef("dagger call status --env="+c.env, "another run took the Lease %s in the same moment%s", c.names.Head(), who)
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
	return outcome.Refusef(fmt.Sprintf("dagger call status --env=%[1]s   (until it has ended), then the same command again\n"+
		"dagger call rollback --env=%[1]s   (asks that run to go back)", c.env),
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
		if err != nil {
			if renewed, err = leases.Get(ctx, lease.Name, metav1.GetOptions{}); err != nil {
				continue // no answer: whether it is still ours will be seen when there is one
			}
		}
		lease = renewed
		if holderOf(lease) != holder {
			lose(lostTo(holderOf(lease)))
			return
		}
		if who := lease.Annotations[annotationStop]; who != "" {
			lose(fmt.Errorf("%w by %s", rollout.ErrStopAsked, who))
		}
	}
}

// AskStop implements rollout.Locker.
func (c *Cluster) AskStop(ctx context.Context, by string) (asked bool, err error) {
	leases := c.client.CoordinationV1().Leases(c.namespace)
	return asked, c.write(ctx, "ask the holder of the Lease "+c.names.Head(), func(ctx context.Context) error {
		return retry.RetryOnConflict(retry.DefaultBackoff, func() error { // its holder renews it all the time
			lease, err := leases.Get(ctx, c.names.Head(), metav1.GetOptions{})
			if err != nil || !alive(lease) {
				asked = false
				return gone(err)
			}
			metav1.SetMetaDataAnnotation(&lease.ObjectMeta, annotationStop, by)
			_, err = leases.Update(ctx, lease, metav1.UpdateOptions{FieldManager: release.Manager})
			asked = err == nil
			return err
		})
	})
}

// WaitFree implements rollout.Locker. One object, once a second, is cheaper than a
// watch of its own.
func (c *Cluster) WaitFree(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		holder, err := c.Holder(ctx)
		if err == nil && holder == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s holds the Lease %s still: %w", holder, c.names.Head(), context.Cause(ctx))
		case <-tick.C:
		}
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

// Holder returns who holds the application's Lease now, empty if nobody does. A
// holder that was killed is named until the Lease has run out.
func (c *Cluster) Holder(ctx context.Context) (string, error) {
	lease, err := c.lease(ctx)
	if err != nil || !alive(lease) {
		return "", err
	}
	return holderOf(lease), nil
}

func holderOf(lease *coordinationv1.Lease) string {
	if lease == nil || lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

func alive(lease *coordinationv1.Lease) bool {
	return holderOf(lease) != "" && age(lease) < leaseDuration
}

// age is the time since the last renewal, by two clocks.
func age(lease *coordinationv1.Lease) time.Duration {
	if lease.Spec.RenewTime == nil {
		return leaseForgotten
	}
	return time.Since(lease.Spec.RenewTime.Time)
}

func transitions(lease *coordinationv1.Lease) int32 {
	if lease.Spec.LeaseTransitions == nil {
		return 0
	}
	return *lease.Spec.LeaseTransitions
}

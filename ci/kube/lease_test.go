package kube

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"cutover.dev/ci/outcome"
	"cutover.dev/ci/rollout"
)

func lease(t *testing.T, client *fake.Clientset) *coordinationv1.Lease {
	t.Helper()
	l, err := client.CoordinationV1().Leases(namespace).Get(t.Context(), "notes-cutover", metav1.GetOptions{})
	require.NoError(t, err)
	return l
}

// leases runs a test of the lock with a clock of its own.
func leases(t *testing.T, test func(*testing.T, *Cluster, *fake.Clientset)) {
	synctest.Test(t, func(t *testing.T) {
		c, client := newFake(t)
		test(t, c, client)
	})
}

func TestTheLockIsTakenAndGivenBack(t *testing.T) {
	leases(t, func(t *testing.T, c *Cluster, client *fake.Clientset) {
		l, err := c.Lock(t.Context(), "ann")
		require.NoError(t, err)
		require.NoError(t, l.Context().Err())
		holder, err := c.Holder(t.Context())
		require.NoError(t, err)
		require.Equal(t, "ann", holder)
		l.Unlock()
		require.Error(t, l.Context().Err())
		require.NotErrorIs(t, context.Cause(l.Context()), rollout.ErrLockLost)
		holder, err = c.Holder(t.Context())
		require.NoError(t, err)
		require.Empty(t, holder)
		l, err = c.Lock(t.Context(), "bob")
		require.NoError(t, err)
		l.Unlock()
	})
}

func TestNobodyHoldsALockThatWasNeverTaken(t *testing.T) {
	c, _ := newFake(t)
	holder, err := c.Holder(t.Context())
	require.NoError(t, err)
	require.Empty(t, holder)
}

func TestAHeldLockIsRefusedHoweverLongItIsHeld(t *testing.T) {
	leases(t, func(t *testing.T, c *Cluster, client *fake.Clientset) {
		since := time.Now().UTC().Format(time.RFC3339)
		l, err := c.Lock(t.Context(), "ann")
		require.NoError(t, err)
		defer l.Unlock()
		for range 10 {
			time.Sleep(leaseDuration)
			_, err = c.Lock(t.Context(), "bob")
			require.Equal(t, outcome.Refused, outcome.CodeOf(err))
			require.ErrorContains(t, err, "another run is at work on notes: ann, since "+since)
			require.Contains(t, outcome.Explain(err), "next: dagger call status --env=prod")
		}
		require.NoError(t, l.Context().Err())
	})
}

func TestALockThatIsNotRenewedCanBeTakenAndItsOldHolderIsTold(t *testing.T) {
	leases(t, func(t *testing.T, c *Cluster, client *fake.Clientset) {
		var down atomic.Bool
		down.Store(true)
		client.PrependReactor("update", "leases", func(k8stesting.Action) (bool, runtime.Object, error) {
			if down.Load() {
				return true, nil, apierrors.NewForbidden(coordinationv1.Resource("leases"), "notes-cutover", nil)
			}
			return false, nil, nil
		})
		l, err := c.Lock(t.Context(), "ann")
		require.NoError(t, err)
		defer l.Unlock()

		time.Sleep(leaseDuration + time.Second)
		require.NoError(t, l.Context().Err(), "that renewing fails is no loss")
		holder, err := c.Holder(t.Context())
		require.NoError(t, err)
		require.Empty(t, holder, "an expired lock is nobody's")
		go func() { // once bob has looked long enough
			time.Sleep(leaseDuration - time.Second/2)
			down.Store(false)
		}()
		bobs, err := c.Lock(t.Context(), "bob")
		require.NoError(t, err)
		require.Equal(t, int32(1), *lease(t, client).Spec.LeaseTransitions)

		<-l.Context().Done()
		require.ErrorIs(t, context.Cause(l.Context()), rollout.ErrLockLost)
		require.ErrorContains(t, context.Cause(l.Context()), "bob has it now")
		l.Unlock()
		require.Equal(t, "bob", holderOf(lease(t, client)), "the loser gives back nothing")
		bobs.Unlock()
	})
}

func TestAnAPIServerThatIsAwayForAWhileCostsNoLock(t *testing.T) {
	leases(t, func(t *testing.T, c *Cluster, client *fake.Clientset) {
		var down atomic.Bool
		client.PrependReactor("*", "leases", func(k8stesting.Action) (bool, runtime.Object, error) {
			if down.Load() {
				return true, nil, apierrors.NewServiceUnavailable("away")
			}
			return false, nil, nil
		})
		l, err := c.Lock(t.Context(), "ann")
		require.NoError(t, err)
		defer l.Unlock()
		down.Store(true)
		time.Sleep(10 * leaseDuration)
		require.NoError(t, l.Context().Err())
		down.Store(false)
		time.Sleep(2 * leaseRenew)
		require.NoError(t, l.Context().Err())
		holder, err := c.Holder(t.Context())
		require.NoError(t, err)
		require.Equal(t, "ann", holder)
	})
}

func TestOfTwoThatTakeAFreeLockInTheSameMomentOneIsRefused(t *testing.T) {
	leases(t, func(t *testing.T, c *Cluster, client *fake.Clientset) {
		l, err := c.Lock(t.Context(), "first")
		require.NoError(t, err)
		l.Unlock()
		client.PrependReactor("update", "leases", func(action k8stesting.Action) (bool, runtime.Object, error) {
			bobs := action.(k8stesting.UpdateAction).GetObject().DeepCopyObject().(*coordinationv1.Lease)
			bobs.Spec.HolderIdentity, bobs.ResourceVersion = new("bob"), "1000"
			require.NoError(t, client.Tracker().Update(action.GetResource(), bobs, namespace))
			return false, nil, nil
		})
		_, err = c.Lock(t.Context(), "ann")
		require.Equal(t, outcome.Refused, outcome.CodeOf(err))
		require.ErrorContains(t, err, "another run took the Lease notes-cutover in the same moment: bob")
		require.Equal(t, "bob", holderOf(lease(t, client)))
	})
}

// A killed process leaves a Lease that nobody renews. Whoever comes right after it
// only has to wait, whatever the two machines' clocks say.
func TestALeaseIsStaleWhenItIsSeenUnchangedForItsWholeTime(t *testing.T) {
	for name, skew := range map[string]time.Duration{"same clock": 0, "its clock is ahead": time.Hour, "its clock is behind": -40 * time.Second} {
		t.Run(name, func(t *testing.T) {
			leases(t, func(t *testing.T, c *Cluster, client *fake.Clientset) {
				dead := c.newLease("dead")
				dead.Spec.RenewTime = new(metav1.NewMicroTime(time.Now().Add(skew)))
				_, err := client.CoordinationV1().Leases(namespace).Create(t.Context(), dead, metav1.CreateOptions{})
				require.NoError(t, err)
				begun := time.Now()
				l, err := c.Lock(t.Context(), "ann")
				require.NoError(t, err)
				require.GreaterOrEqual(t, time.Since(begun), leaseDuration)
				require.Less(t, time.Since(begun), leaseDuration+2*leaseLook)
				l.Unlock()
			})
		})
	}
}

func TestTheLeaseIsRenewedAlsoWhileACancelledRunIsUndone(t *testing.T) {
	leases(t, func(t *testing.T, c *Cluster, client *fake.Clientset) {
		ctx, cancel := context.WithCancel(t.Context())
		l, err := c.Lock(ctx, "ann")
		require.NoError(t, err)
		cancel()
		time.Sleep(10 * leaseDuration)
		_, err = c.Lock(t.Context(), "bob")
		require.Equal(t, outcome.Refused, outcome.CodeOf(err))
		require.NoError(t, l.Confirm(t.Context()))
		l.Unlock()
	})
}

func TestAHolderThatIsAskedToStopIsToldByWhom(t *testing.T) {
	leases(t, func(t *testing.T, c *Cluster, client *fake.Clientset) {
		asked, err := c.AskStop(t.Context(), "bob")
		require.NoError(t, err)
		require.False(t, asked, "nobody is at work")

		l, err := c.Lock(t.Context(), "ann")
		require.NoError(t, err)
		asked, err = c.AskStop(t.Context(), "bob")
		require.NoError(t, err)
		require.True(t, asked)
		<-l.Context().Done()
		require.ErrorIs(t, context.Cause(l.Context()), rollout.ErrStopAsked)
		require.ErrorContains(t, context.Cause(l.Context()), "by bob")
		require.NoError(t, l.Confirm(t.Context()), "it still has the lock, for its undo")
		time.Sleep(2 * leaseDuration)
		freed := time.Now()
		go func() { time.Sleep(time.Minute); l.Unlock() }()
		require.NoError(t, c.WaitFree(t.Context()))
		require.GreaterOrEqual(t, time.Since(freed), time.Minute)

		l, err = c.Lock(t.Context(), "carl")
		require.NoError(t, err)
		time.Sleep(2 * leaseDuration)
		require.NoError(t, l.Context().Err(), "it was not asked of the next holder")
		l.Unlock()
	})
}

func TestALeaseThatWasForgottenLongAgoIsTakenAtOnce(t *testing.T) {
	leases(t, func(t *testing.T, c *Cluster, client *fake.Clientset) {
		dead := c.newLease("dead")
		dead.Spec.RenewTime = new(metav1.NewMicroTime(time.Now().Add(-leaseForgotten)))
		_, err := client.CoordinationV1().Leases(namespace).Create(t.Context(), dead, metav1.CreateOptions{})
		require.NoError(t, err)
		begun := time.Now()
		l, err := c.Lock(t.Context(), "ann")
		require.NoError(t, err)
		require.Zero(t, time.Since(begun))
		l.Unlock()
	})
}

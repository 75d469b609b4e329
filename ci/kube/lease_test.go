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
		held, unlock, err := c.Lock(t.Context(), "ann")
		require.NoError(t, err)
		require.NoError(t, held.Err())
		holder, err := c.Holder(t.Context())
		require.NoError(t, err)
		require.Equal(t, "ann", holder)
		unlock()
		require.Error(t, held.Err())
		require.NotErrorIs(t, context.Cause(held), rollout.ErrLockLost)
		holder, err = c.Holder(t.Context())
		require.NoError(t, err)
		require.Empty(t, holder)
		_, unlock, err = c.Lock(t.Context(), "bob")
		require.NoError(t, err)
		unlock()
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
		held, unlock, err := c.Lock(t.Context(), "ann")
		require.NoError(t, err)
		defer unlock()
		for range 10 {
			time.Sleep(leaseDuration)
			_, _, err = c.Lock(t.Context(), "bob")
			require.Equal(t, outcome.Refused, outcome.CodeOf(err))
			require.ErrorContains(t, err, "another run is at work on notes: ann, since "+since)
			require.Contains(t, outcome.Explain(err), "next: dagger call status --env=prod")
		}
		require.NoError(t, held.Err())
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
		held, unlock, err := c.Lock(t.Context(), "ann")
		require.NoError(t, err)
		defer unlock()

		time.Sleep(leaseDuration - time.Second)
		_, _, err = c.Lock(t.Context(), "bob")
		require.Equal(t, outcome.Refused, outcome.CodeOf(err))
		require.NoError(t, held.Err(), "that renewing fails is no loss")

		time.Sleep(2 * time.Second)
		holder, err := c.Holder(t.Context())
		require.NoError(t, err)
		require.Empty(t, holder, "an expired lock is nobody's")
		down.Store(false)
		_, unlockBob, err := c.Lock(t.Context(), "bob")
		require.NoError(t, err)
		require.Equal(t, int32(1), *lease(t, client).Spec.LeaseTransitions)

		<-held.Done()
		require.ErrorIs(t, context.Cause(held), rollout.ErrLockLost)
		require.ErrorContains(t, context.Cause(held), "bob has it now")
		unlock()
		require.Equal(t, "bob", holderOf(lease(t, client)), "the loser gives back nothing")
		unlockBob()
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
		held, unlock, err := c.Lock(t.Context(), "ann")
		require.NoError(t, err)
		defer unlock()
		down.Store(true)
		time.Sleep(10 * leaseDuration)
		require.NoError(t, held.Err())
		down.Store(false)
		time.Sleep(2 * leaseRenew)
		require.NoError(t, held.Err())
		holder, err := c.Holder(t.Context())
		require.NoError(t, err)
		require.Equal(t, "ann", holder)
	})
}

func TestOfTwoThatTakeAFreeLockInTheSameMomentOneIsRefused(t *testing.T) {
	leases(t, func(t *testing.T, c *Cluster, client *fake.Clientset) {
		_, unlock, err := c.Lock(t.Context(), "first")
		require.NoError(t, err)
		unlock()
		client.PrependReactor("update", "leases", func(action k8stesting.Action) (bool, runtime.Object, error) {
			bobs := action.(k8stesting.UpdateAction).GetObject().DeepCopyObject().(*coordinationv1.Lease)
			bobs.Spec.HolderIdentity, bobs.ResourceVersion = new("bob"), "1000"
			require.NoError(t, client.Tracker().Update(action.GetResource(), bobs, namespace))
			return false, nil, nil
		})
		_, _, err = c.Lock(t.Context(), "ann")
		require.Equal(t, outcome.Refused, outcome.CodeOf(err))
		require.ErrorContains(t, err, "another run took the Lease notes-cutover in the same moment")
		require.Equal(t, "bob", holderOf(lease(t, client)))
	})
}

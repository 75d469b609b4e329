package kube

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"cutover.dev/ci/agent"
	"cutover.dev/ci/plan"
	"cutover.dev/ci/release"
)

const guardian = "agent/RUN"

// newGuarded returns the guard of a cluster in which green serves, and whose
// Lease the run RUN has not renewed for long.
func newGuarded(t *testing.T, objects ...runtime.Object) (*Guard, *fake.Clientset) {
	t.Helper()
	c, client := newFake(t, append(objects, liveService(names.Selector(release.Green)), plan.GuardConfigMap(record("RUN")), heldLease())...)
	return NewGuard(c), client
}

func heldLease() *coordinationv1.Lease {
	renewed := metav1.NewMicroTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: "notes-cutover", Namespace: namespace, ResourceVersion: "5"},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: new("ann run RUN process AAAAAA"), LeaseDurationSeconds: new(int32(20)),
			AcquireTime: &renewed, RenewTime: &renewed, LeaseTransitions: new(int32(3)),
		},
	}
}

// lose lets the API server carry out the next such call and loses its answer.
func lose(client *fake.Clientset, verb, resource string) {
	server := slices.Clone(client.ReactionChain)
	lost := false
	client.PrependReactor(verb, resource, func(action k8stesting.Action) (handled bool, _ runtime.Object, err error) {
		if lost {
			return false, nil, nil
		}
		lost = true
		for i := 0; i < len(server) && !handled && err == nil; i++ {
			if server[i].Handles(action) {
				handled, _, err = server[i].React(action)
			}
		}
		if err == nil {
			err = apierrors.NewTimeoutError("the answer was lost", 0)
		}
		return true, nil, err
	})
}

// meanwhile does something in front of the next such call.
func meanwhile(client *fake.Clientset, verb, resource string, do func(action k8stesting.Action) error) {
	done := false
	client.PrependReactor(verb, resource, func(action k8stesting.Action) (bool, runtime.Object, error) {
		if done {
			return false, nil, nil
		}
		done = true
		err := do(action)
		return err != nil, nil, err
	})
}

// testFailed is the API server's answer to a patch whose test fails.
func testFailed() error {
	return apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "patch", corev1.Resource("services"), "notes", "test failed", 0, false)
}

func TestTheGuardSeesTheLeaseAsItIs(t *testing.T) {
	g, _ := newGuarded(t)
	seen, err := g.Lease(t.Context())
	require.NoError(t, err)
	require.Equal(t, "ann run RUN process AAAAAA", seen.Holder)
	require.Equal(t, 20*time.Second, seen.Duration)
	require.Equal(t, "5", seen.Version)
	require.True(t, heldLease().Spec.RenewTime.Equal(&metav1.MicroTime{Time: seen.Renewed}))

	c, _ := newFake(t)
	seen, err = NewGuard(c).Lease(t.Context())
	require.NoError(t, err)
	require.Empty(t, seen.Holder, "nobody holds what is not there")
}

func TestTheGuardSeesWhatTheLiveServiceSelects(t *testing.T) {
	for _, c := range []struct {
		selector map[string]string
		want     release.Colour
	}{
		{names.Selector(release.Blue), release.Blue},
		{names.Selector(release.Green), release.Green},
		{names.Selector(release.Both), release.Both},
		{map[string]string{"app": "notes"}, release.None},
		{nil, release.None},
	} {
		cluster, _ := newFake(t, liveService(c.selector))
		got, err := NewGuard(cluster).Selected(t.Context())
		require.NoError(t, err)
		require.Equal(t, c.want, got, "%v", c.selector)
	}
	cluster, _ := newFake(t)
	got, err := NewGuard(cluster).Selected(t.Context())
	require.NoError(t, err)
	require.Equal(t, release.None, got)
}

func TestTheGuardCountsReadyPodsOfOneColour(t *testing.T) {
	pod := func(name string, colour release.Colour, ready corev1.ConditionStatus) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: names.Selector(colour)},
			Status:     corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}},
		}
	}
	going := pod("d", release.Blue, corev1.ConditionTrue)
	going.DeletionTimestamp, going.Finalizers = new(metav1.Now()), []string{"x"}
	g, _ := newGuarded(t, pod("a", release.Blue, corev1.ConditionTrue), pod("b", release.Blue, corev1.ConditionFalse), pod("c", release.Green, corev1.ConditionTrue), going)
	n, err := g.ReadyPods(t.Context(), release.Blue)
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

func TestTheGuardTakesTheLeaseAndGivesItBack(t *testing.T) {
	g, client := newGuarded(t)
	seen, err := g.Lease(t.Context())
	require.NoError(t, err)
	taken, err := g.TakeLease(t.Context(), seen, guardian)
	require.NoError(t, err)
	require.Equal(t, guardian, taken.Holder)
	require.Equal(t, int32(4), *lease(t, client).Spec.LeaseTransitions)
	require.WithinDuration(t, time.Now(), lease(t, client).Spec.AcquireTime.Time, time.Minute)

	renewed, err := g.TakeLease(t.Context(), taken, guardian)
	require.NoError(t, err)
	require.NotEqual(t, taken.Version, renewed.Version)
	require.Equal(t, int32(4), *lease(t, client).Spec.LeaseTransitions, "to renew is no transition")

	require.NoError(t, g.DropLease(t.Context(), guardian))
	require.Empty(t, holderOf(lease(t, client)))
}

func TestALeaseThatIsNotAsSeenIsNotTaken(t *testing.T) {
	g, client := newGuarded(t)
	seen, err := g.Lease(t.Context())
	require.NoError(t, err)
	renewed := lease(t, client)
	renewed.Spec.RenewTime = new(metav1.NowMicro())
	_, err = client.CoordinationV1().Leases(namespace).Update(t.Context(), renewed, metav1.UpdateOptions{})
	require.NoError(t, err)

	_, err = g.TakeLease(t.Context(), seen, guardian)
	require.ErrorIs(t, err, agent.ErrConflict)
	require.Equal(t, "ann run RUN process AAAAAA", holderOf(lease(t, client)))
}

func TestALeaseThatIsRenewedInTheSameMomentIsNotTaken(t *testing.T) {
	g, client := newGuarded(t)
	meanwhile(client, "update", "leases", func(action k8stesting.Action) error {
		theirs := heldLease()
		theirs.ResourceVersion = "1000"
		return client.Tracker().Update(action.GetResource(), theirs, namespace)
	})
	seen, err := g.Lease(t.Context())
	require.NoError(t, err)
	_, err = g.TakeLease(t.Context(), seen, guardian)
	require.ErrorIs(t, err, agent.ErrConflict)
	require.Equal(t, "ann run RUN process AAAAAA", holderOf(lease(t, client)))
}

func TestTheGuardGivesBackOnlyItsOwnLease(t *testing.T) {
	g, client := newGuarded(t)
	require.NoError(t, g.DropLease(t.Context(), guardian))
	require.Equal(t, "ann run RUN process AAAAAA", holderOf(lease(t, client)))
	require.Empty(t, writes(client))
}

func TestTheGuardsReportIsReadByItselfAndByTheRunner(t *testing.T) {
	g, client := newGuarded(t)
	none, err := g.Reported(t.Context())
	require.NoError(t, err)
	require.Nil(t, none)
	for _, state := range []release.GuardState{release.GuardIntended, release.GuardSwitchedBack} {
		want := &release.GuardReport{Run: "RUN", State: state, Evidence: "requests were lost", From: release.Green, To: release.Blue}
		require.NoError(t, g.Report(t.Context(), *want))
		got, err := g.Reported(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, got)
		got, err = g.cluster.Guarded(t.Context(), "RUN")
		require.NoError(t, err)
		require.Equal(t, want, got)
		got, err = g.cluster.Guarded(t.Context(), "OTHER")
		require.NoError(t, err)
		require.Nil(t, got, "it is about another run")
	}
	require.Equal(t, []string{"update configmaps", "update configmaps"}, writes(client))
	require.Equal(t, "agent", configMap(t, client, "notes-cutover-guard").Labels[release.LabelRole])
}

func TestWithoutAGuardsConfigMapThereIsNoReport(t *testing.T) {
	c, _ := newFake(t)
	got, err := c.Guarded(t.Context(), "RUN")
	require.NoError(t, err)
	require.Nil(t, got)
	require.True(t, apierrors.IsNotFound(NewGuard(c).Report(t.Context(), release.GuardReport{})), "the guard may not create it")
}

func TestAReportThatSomebodyElseWroteIsNotOverwritten(t *testing.T) {
	g, client := newGuarded(t)
	require.NoError(t, g.Report(t.Context(), release.GuardReport{Run: "RUN"}))
	theirs := configMap(t, client, "notes-cutover-guard")
	theirs.Data = map[string]string{keyReport: `{"run": "OTHER"}`}
	_, err := client.CoreV1().ConfigMaps(namespace).Update(t.Context(), theirs, metav1.UpdateOptions{})
	require.NoError(t, err)
	require.ErrorIs(t, g.Report(t.Context(), release.GuardReport{Run: "RUN"}), agent.ErrConflict)
	require.Equal(t, theirs.Data, configMap(t, client, "notes-cutover-guard").Data)
}

func TestTheGuardSwitchesBackByOneWrite(t *testing.T) {
	for _, from := range []release.Colour{release.Green, release.Both} {
		c, client := newFake(t, liveService(names.Selector(from)))
		require.NoError(t, NewGuard(c).SwitchBack(t.Context(), release.Green, release.Blue))
		require.Equal(t, names.Selector(release.Blue), selector(t, client))
		require.Equal(t, []string{"patch services"}, writes(client))

		patch := client.Actions()[len(client.Actions())-2].(k8stesting.PatchAction).GetPatch()
		var operations []map[string]any
		require.NoError(t, json.Unmarshal(patch, &operations))
		require.Equal(t, []string{"test", "test", "replace"}, []string{fmt.Sprint(operations[0]["op"]), fmt.Sprint(operations[1]["op"]), fmt.Sprint(operations[2]["op"])})
	}
}

func TestSwitchingBackToWhatIsSelectedWritesNothing(t *testing.T) {
	c, client := newFake(t, liveService(names.Selector(release.Blue)))
	require.NoError(t, NewGuard(c).SwitchBack(t.Context(), release.Green, release.Blue))
	require.Empty(t, writes(client))
}

func TestTheGuardNeverReplacesAForeignSelector(t *testing.T) {
	c, client := newFake(t, liveService(map[string]string{"app": "notes"}))
	require.ErrorIs(t, NewGuard(c).SwitchBack(t.Context(), release.Green, release.Blue), agent.ErrConflict)
	require.Empty(t, writes(client))
}

func TestAWriteToTheServiceThatLeavesTheSelectorDoesNotStopTheGuard(t *testing.T) {
	g, client := newGuarded(t)
	for range races - 1 {
		meanwhile(client, "patch", "services", func(k8stesting.Action) error { return testFailed() })
	}
	require.NoError(t, g.SwitchBack(t.Context(), release.Green, release.Blue))
	require.Equal(t, names.Selector(release.Blue), selector(t, client))
}

func TestASelectorThatIsChangedInTheSameMomentIsAConflict(t *testing.T) {
	g, client := newGuarded(t)
	foreign := map[string]string{"app": "notes"}
	meanwhile(client, "patch", "services", func(action k8stesting.Action) error {
		require.NoError(t, client.Tracker().Update(action.GetResource(), liveService(foreign), namespace))
		return testFailed()
	})
	require.ErrorIs(t, g.SwitchBack(t.Context(), release.Green, release.Blue), agent.ErrConflict)
	require.Equal(t, foreign, selector(t, client))
}

func TestAPatchThatIsAlwaysRefusedEnds(t *testing.T) {
	g, client := newGuarded(t)
	client.PrependReactor("patch", "services", func(k8stesting.Action) (bool, runtime.Object, error) { return true, nil, testFailed() })
	err := g.SwitchBack(t.Context(), release.Green, release.Blue)
	require.ErrorContains(t, err, "switch the Service notes back to blue")
	require.NotErrorIs(t, err, agent.ErrConflict)
}

func TestAGuardsWriteWhoseAnswerWasLostIsNoConflict(t *testing.T) {
	for name, c := range map[string]struct {
		verb, resource string
		act            func(t *testing.T, g *Guard) error
	}{
		"the Lease": {"update", "leases", func(t *testing.T, g *Guard) error {
			seen, err := g.Lease(t.Context())
			require.NoError(t, err)
			taken, err := g.TakeLease(t.Context(), seen, guardian)
			require.Equal(t, guardian, taken.Holder)
			return err
		}},
		"the report":     {"update", "configmaps", func(t *testing.T, g *Guard) error { return g.Report(t.Context(), release.GuardReport{Run: "RUN"}) }},
		"the switch":     {"patch", "services", func(t *testing.T, g *Guard) error { return g.SwitchBack(t.Context(), release.Green, release.Blue) }},
		"the given back": {"update", "leases", func(t *testing.T, g *Guard) error { return g.DropLease(t.Context(), "ann run RUN process AAAAAA") }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, client := newGuarded(t)
				lose(client, c.verb, c.resource)
				require.NoError(t, c.act(t, g))
			})
		})
	}
}

func TestTheGuardUsesNoRightThatItsRoleDoesNotGive(t *testing.T) {
	g, client := newGuarded(t)
	seen, err := g.Lease(t.Context())
	require.NoError(t, err)
	_, err = g.Selected(t.Context())
	require.NoError(t, err)
	_, err = g.ReadyPods(t.Context(), release.Blue)
	require.NoError(t, err)
	_, err = g.TakeLease(t.Context(), seen, guardian)
	require.NoError(t, err)
	require.NoError(t, g.Report(t.Context(), release.GuardReport{Run: "RUN"}))
	require.NoError(t, g.SwitchBack(t.Context(), release.Green, release.Blue))
	_, err = g.Reported(t.Context())
	require.NoError(t, err)
	require.NoError(t, g.DropLease(t.Context(), guardian))

	granted := map[string]bool{}
	for _, rule := range plan.AgentRole(record("RUN")).Rules {
		for _, verb := range rule.Verbs {
			granted[verb+" "+rule.Resources[0]] = true
		}
	}
	for _, a := range client.Actions() {
		require.True(t, granted[a.GetVerb()+" "+a.GetResource().Resource], "%s %s", a.GetVerb(), a.GetResource().Resource)
	}
}

package rollout

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cutover.dev/ci/plan"
	"cutover.dev/ci/release"
)

func step(name string, undo Undo) Step {
	return Step{Name: name, Timeout: time.Second, Do: func(context.Context, *release.Record) error { return nil }, Undo: undo}
}

func TestEveryStepMustSayHowItIsUndone(t *testing.T) {
	noop := func(context.Context, *release.Record) error { return nil }
	for want, steps := range map[string][]Step{
		`step "a" does not say how it is undone`:     {step("a", Undo{})},
		`step "a" reverts by nothing`:                {step("a", Revert(nil))},
		`step "a" is listed twice`:                   {step("a", Reads()), step("a", Reads())},
		`step "a" is final, but "b" comes after it`:  {step("a", Final("gone")), step("b", Reads())},
		`step 0 ("") needs a name`:                   {step("", Reads())},
		`step 0 ("a") needs a name, an act and a`:    {{Name: "a", Timeout: time.Second, Undo: Reads()}},
		`step 1 ("b") needs a name, an act and a ti`: {step("a", Reads()), {Name: "b", Do: noop, Undo: Reads()}},
	} {
		require.ErrorContains(t, Validate(steps), want)
	}
	require.NoError(t, Validate([]Step{step("a", Reads()), step("b", Revert(noop)), step("c", Keep("harmless")), step("d", Final("gone"))}))
}

func TestTheStepsOfADeployAreValid(t *testing.T) {
	without := input("1")
	without.Env.Migrations = nil
	for _, in := range []plan.Input{input("1"), without} {
		d := &Deployer{Input: in}
		require.NoError(t, Validate(d.Steps()))
	}
}

func TestTheStepsKeepTheirNamesAndOrder(t *testing.T) {
	d := &Deployer{Input: input("1")}
	var names []string
	for _, s := range d.Steps() {
		names = append(names, s.Name)
	}
	require.Equal(t, []string{"preflight", "migrate", "raise", "verify", "switch", "verify-live", "bake", "retire"}, names)
}

func TestTheAgentOutlivesEveryStepAndItsUndo(t *testing.T) {
	d := &Deployer{Input: input("1")}
	var total time.Duration
	for _, s := range d.Steps() {
		total += 2 * s.Timeout
	}
	require.GreaterOrEqual(t, d.agentLifetime(), total)
}

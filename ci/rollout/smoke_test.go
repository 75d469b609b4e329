package rollout

import (
	"testing"

	"github.com/stretchr/testify/require"

	"cutover.dev/ci/outcome"
	"cutover.dev/ci/release"
)

func TestFailedSmokeTestsBringThePreviousVersionBack(t *testing.T) {
	for target, step := range map[string]string{"preview": "verify", "live": "verify-live"} {
		t.Run(target, func(t *testing.T) {
			w := worldWith(t, "1")
			w.smokes = map[string]string{"2": target}
			rec, err := w.deploy("2")
			require.Equal(t, outcome.RolledBack, outcome.CodeOf(err))
			require.ErrorContains(t, err, "step "+step+": smoke tests against notes")
			require.ErrorContains(t, err, "\n  TestX\n        x.go:1: 404")
			require.Equal(t, []release.Test{{Name: "TestX", Result: release.Fail, Output: "    x.go:1: 404"}}, rec.Step(step).Tests)
			require.Equal(t, target == "live", rec.SwitchedBack != nil)
			w.serves("1")

			rec, err = w.deploy("3")
			require.NoError(t, err)
			require.Equal(t, []release.Test{{Name: "TestX", Result: release.Pass, Seconds: 0.01}}, rec.Step(step).Tests)
			require.Contains(t, rec.Step(step).Note, "1 smoke tests passed")
			w.serves("3")
		})
	}
}

//go:build e2e

package e2e

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"cutover.dev/ci/e2e/soak/trial"
	"cutover.dev/ci/e2e/stage"
	"cutover.dev/ci/probe"
	"cutover.dev/ci/release"
)

// The short form of `make soak`. These tests measure what is lost under load, so
// that none of them runs beside another.

// Two versions of one application are enough for all that is done to them.
func TestNothingThatHappensToARunLosesARequest(t *testing.T) {
	tr, err := trial.Open(t.Context(), newStage(t, "notes-e2e-soak"), t.Logf)
	require.NoError(t, err)
	_ = t.Run("killed runs are carried on, and the guard leads back when nobody is there", func(t *testing.T) { kills(t, tr) }) &&
		t.Run("switches under heavy traffic", func(t *testing.T) { switches(t, tr) }) &&
		t.Run("bad releases are caught, each by its gate", func(t *testing.T) { gates(t, tr) })
}

// Wherever the program is killed, `resume` or `rollback` alone brings everything
// in order, and the users notice nothing. When nobody types, the guard in the
// cluster leads them away from a release that loses requests.
func kills(t *testing.T, tr *trial.Trial) {
	k := trial.Kills{N: 6, Guarded: 6, Seed: uint64(time.Now().Unix())}
	t.Logf("seed %d", k.Seed)
	report, err := tr.Kill(t.Context(), k)
	require.NoError(t, err)
	require.NoError(t, report.Wrong())
	assert.Positive(t, report.Requests)
	assert.Equal(t, 5, report.Resumed+report.RolledBack)
	assert.Equal(t, 1, report.Guarded)
}

// One bad release for each gate that no other test has; `make gates` has them all.
func gates(t *testing.T, tr *trial.Trial) {
	bad := slices.DeleteFunc(trial.Gates(tr.Prometheus), func(b trial.Bad) bool {
		return !slices.Contains([]string{"crash", "two-faced", "errors", "miscount"}, b.Fault)
	})
	all, err := tr.CatchAll(t.Context(), bad)
	for _, caught := range all {
		assert.NoError(t, caught.Err())
	}
	require.NoError(t, err)
}

func switches(t *testing.T, tr *trial.Trial) {
	s := trial.Switches{N: 2, Requests: 20_000, Rate: 200}
	seen, err := tr.Switch(t.Context(), s)
	require.NoError(t, err)
	require.NoError(t, s.Judge(seen))
	for _, class := range []probe.Class{probe.Fresh, probe.Kept, probe.Slow} {
		assert.Positive(t, seen.Classes[class].OK, class)
	}
}

// Killed is also whoever cancels a CI job: the command, and everything that it
// started on this machine.
func TestADaggerCallThatIsKilledIsCarriedOnByResume(t *testing.T) {
	s := newStage(t, "notes-e2e-cancelled")
	require.Zero(t, deploy(t, s, "1").Code)
	first := record(t, s)
	load, err := s.StartLoad(t.Context(), first.Release.Bundle, stage.Traffic{Name: "load", Rate: 100, Read: "/notes?limit=5", Write: "/notes", AtMost: time.Hour})
	require.NoError(t, err)

	args := append([]string{"deploy", "--env=dev", "--version=2"}, s.Cluster()...)
	p, err := s.StartDagger(t.Context(), append(args, s.Secrets()...)...)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	require.NoError(t, s.AwaitRecord(ctx, func(rec *release.Record) bool {
		return rec.Number > first.Number && rec.Step("raise").State != release.Pending
	}))
	require.True(t, p.Kill())

	resumed := call(t, s, append([]string{"resume", "--env=dev"}, s.Cluster()...)...)
	require.Zero(t, resumed.Code, resumed.Output())
	assert.Equal(t, release.Succeeded, record(t, s).Outcome)
	serves(t, s, "2")

	require.NoError(t, load.Past(t.Context(), time.Now()))
	_, result, err := load.Stop(t.Context())
	require.NoError(t, err)
	assert.NoError(t, result.Verdict(probe.Minimum{OK: 500, OKEach: 100}))
}

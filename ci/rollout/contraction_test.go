package rollout

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cutover.dev/ci/config"
	"cutover.dev/ci/migrate"
	"cutover.dev/ci/outcome"
	"cutover.dev/ci/plan"
	"cutover.dev/ci/release"
)

// shrinking asks for a version whose bundle has a contract migration, which keeps
// older releases as targets for a rollback for the window.
func shrinking(version string, window time.Duration) plan.Input {
	in := input(version)
	in.Env.Migrations.RollbackWindow = window
	in.Migrations = append(in.Migrations, migrate.File{Version: 50, Name: "50_smaller.sql", Phase: migrate.Contract})
	return in
}

// shrinkable is a world in which version 1, and then 2 with a contract migration,
// were deployed.
func shrinkable(t *testing.T, window time.Duration) *world {
	t.Helper()
	w := worldWith(t, "1")
	w.deferred = []string{"50_smaller.sql"}
	_, err := w.session().deployer(shrinking("2", window)).Deploy(context.Background())
	require.NoError(t, err)
	return w
}

func (w *world) contract(versions ...int64) (*release.Record, error) {
	in := plan.Input{Env: input("2").Env}
	return w.session().deployer(in).Contract(context.Background(), versions)
}

func TestContractAppliesWhatWasNamedAndForgetsOlderReleasesAsTargets(t *testing.T) {
	w := shrinkable(t, 0)
	rec, err := w.contract(50)
	require.NoError(t, err)
	require.Equal(t, release.Succeeded, rec.Outcome)
	require.Equal(t, []int64{50}, w.contracted)
	require.Equal(t, []int64{50}, w.stored().Contracted)
	require.Equal(t, "LSN 0/1", w.stored().RestorePoint)
	require.Contains(t, rec.Step("contract").Note, "older releases are no targets for a rollback any more")
	w.serves("2")

	_, err = w.session().deployer(plan.Input{Env: input("2").Env}).Rollback(context.Background(), "", ThenSecrets)
	require.Equal(t, outcome.Refused, outcome.CodeOf(err))
	require.ErrorContains(t, err, "the contract migration 50 took from the database what release r1 uses")
	w.serves("2")

	// A later deploy remembers it, and what has the file is a target as before.
	_, err = w.session().deployer(shrinking("4", 0)).Deploy(context.Background())
	require.NoError(t, err)
	require.Equal(t, []int64{50}, w.stored().Contracted)
	_, err = w.session().deployer(plan.Input{Env: input("4").Env}).Rollback(context.Background(), "", ThenSecrets)
	require.NoError(t, err)
	w.serves("2")
}

func TestContractAsksForTheVersionsToBeNamed(t *testing.T) {
	w := shrinkable(t, 0)
	_, err := w.contract()
	require.Equal(t, outcome.Refused, outcome.CodeOf(err))
	require.ErrorContains(t, err, "which contract migrations? These wait: 50_smaller.sql")
	require.Contains(t, outcome.Explain(err), "dagger call migrate contract --env=prod --versions=50")
	_, err = w.contract(50, 2)
	require.ErrorContains(t, err, "version 2 is not a contract migration that waits")
	require.Empty(t, w.contracted)
}

func TestContractRefusesWhileAnOlderReleaseMayComeBack(t *testing.T) {
	w := shrinkable(t, time.Hour)
	rec, err := w.contract(50)
	require.Nil(t, rec)
	require.Equal(t, outcome.Refused, outcome.CodeOf(err))
	require.ErrorContains(t, err, "release r1, which uses what these migrations take away, served until")
	require.Contains(t, outcome.Explain(err), "lower migrations.rollbackWindow, which is 1h0m0s")
	require.Empty(t, w.contracted)

	_, err = w.session().deployer(plan.Input{Env: input("2").Env}).Rollback(context.Background(), "", ThenSecrets)
	require.NoError(t, err, "a rollback in between works")
	w.serves("1")
}

func TestContractRefusesWhileAnOlderReleaseHasPods(t *testing.T) {
	w := shrinkable(t, 0)
	w.colours[release.Blue].size, w.colours[release.Blue].ready = 1, 1
	_, err := w.contract(50)
	require.Equal(t, outcome.Refused, outcome.CodeOf(err))
	require.ErrorContains(t, err, "release r1 still has pods on blue")
	require.Empty(t, w.contracted)
}

func TestContractRefusesWhenTheReleaseThatServesHasNoSuchMigration(t *testing.T) {
	w := worldWith(t, "1")
	_, err := w.contract(50)
	require.Equal(t, outcome.Refused, outcome.CodeOf(err))
	require.ErrorContains(t, err, "no contract migration waits")
}

func TestADeclaredBackupRunsBeforeAContract(t *testing.T) {
	backed := func() *world {
		w := worldWith(t, "1")
		w.deferred = []string{"50_smaller.sql"}
		in := shrinking("2", 0)
		in.Env.Migrations.Backup = &config.Backup{Image: "postgres:17", Command: []string{"pg_dump"}, Timeout: time.Minute}
		_, err := w.session().deployer(in).Deploy(context.Background())
		require.NoError(t, err)
		return w
	}
	w := backed()
	before := len(w.calls)
	rec, err := w.contract(50)
	require.NoError(t, err)
	require.Equal(t, "s3://backups/notes-7", rec.RestorePoint)
	inOrder(t, w.since(before), "begin", "backup", "contract")

	w = backed()
	s := w.session()
	s.trouble = failing("backup", errors.New("no space"))
	rec, err = s.deployer(plan.Input{Env: input("2").Env}).Contract(context.Background(), []int64{50})
	require.ErrorContains(t, err, "no space")
	require.NotEqual(t, release.Succeeded, rec.Outcome)
	require.Empty(t, w.contracted, "without a backup nothing is taken away")
	w.serves("2")
}

func TestAContractJobThatToldNothingIsRecounted(t *testing.T) {
	for name, c := range map[string]struct {
		trouble func(string, bool) error
		want    []int64
	}{
		"it had done nothing":             {failing("contract", errors.New("its pod is gone")), nil},
		"it had done everything":          {lostAfter("contract"), []int64{50}},
		"nobody can be asked what it did": {lostAfter("contract", "check"), []int64{50}},
		"nor whether it did anything":     {lostBefore("contract", "check"), []int64{50}},
	} {
		t.Run(name, func(t *testing.T) {
			w := shrinkable(t, 0)
			s := w.session()
			begun := false
			s.trouble = func(call string, after bool) error {
				if begun = begun || call == "begin"; !begun {
					return nil
				}
				return c.trouble(call, after)
			}
			rec, err := s.deployer(plan.Input{Env: input("2").Env}).Contract(context.Background(), []int64{50})
			require.Error(t, err)
			require.NotEqual(t, release.Succeeded, rec.Outcome)
			require.Equal(t, c.want, w.stored().Contracted)
			w.serves("2")
		})
	}
}

// lostAfter and lostBefore make calls fail, with or without having had an effect.
func lostAfter(calls ...string) func(string, bool) error {
	return func(call string, after bool) error {
		if slices.Contains(calls, call) && after == (call == calls[0]) {
			return errors.New("its pod is gone")
		}
		return nil
	}
}

func lostBefore(calls ...string) func(string, bool) error {
	return func(call string, after bool) error {
		if slices.Contains(calls, call) && !after {
			return errors.New("its pod is gone")
		}
		return nil
	}
}

func TestAContractThatWasKilledAnywhereGoesOnOrIsTakenBack(t *testing.T) {
	calls := func() int {
		w := shrinkable(t, 0)
		s := w.session()
		_, err := s.deployer(plan.Input{Env: input("2").Env}).Contract(context.Background(), []int64{50})
		require.NoError(t, err)
		return s.made
	}()
	for i := range calls {
		for _, after := range []bool{false, true} {
			w := shrinkable(t, 0)
			s := w.session()
			s.killAt, s.killAfter = i, after
			_, err := s.deployer(plan.Input{Env: input("2").Env}).Contract(context.Background(), []int64{50})
			require.Error(t, err)
			w.abandon()

			_, err = w.contract(50)
			if err != nil { // the killed run had done it, or the next one went on with it
				require.ErrorContains(t, err, "no contract migration waits")
			}
			require.Equal(t, []int64{50}, w.contracted, "killed at call %d", i)
			require.True(t, w.stored().Finished())
			require.Equal(t, []int64{50}, w.stored().Contracted)
			w.serves("2")
		}
	}
}

func TestAcceptedDriftIsWrittenDownAlsoWhenNothingIsPending(t *testing.T) {
	w := worldWith(t, "2")
	in := input("1") // whose migrations are applied
	before := len(w.calls)
	_, err := w.session().deployer(in).Deploy(context.Background())
	require.NoError(t, err)
	require.NotContains(t, w.since(before), "migrate", "there is nothing to do")

	in = input("2")
	in.AcceptDrift = "an index for an emergency"
	before = len(w.calls)
	_, err = w.session().deployer(in).Deploy(context.Background())
	require.NoError(t, err)
	require.Contains(t, w.since(before), "migrate")
}

func TestADriftedDatabaseStopsADeployBeforeAnythingIsTouched(t *testing.T) {
	w := worldWith(t, "1")
	w.drifted = []migrate.Problem{{What: "1_notes.sql was edited", Next: "git log"}}
	before := len(w.calls)
	rec, err := w.deploy("2")
	require.Nil(t, rec)
	require.Equal(t, outcome.Refused, outcome.CodeOf(err))
	require.ErrorContains(t, err, "1_notes.sql was edited")
	require.Equal(t, []string{"watch", "load", "observe", "inspect", "check"}, w.since(before))
	w.serves("1")
}

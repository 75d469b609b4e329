package rollout

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"cutover.dev/ci/outcome"
	"cutover.dev/ci/plan"
	"cutover.dev/ci/release"
)

// rollback brings a release back, by a process that nothing happens to. It knows
// the environment and nothing of the release.
func (w *world) rollback(to string, secrets SecretsOf) (*release.Record, error) {
	return w.session().deployer(plan.Input{Env: input("").Env}).Rollback(context.Background(), to, secrets)
}

func TestARollbackBringsBackWhatServedBeforeAsItWas(t *testing.T) {
	w := worldWith(t, "1", "2")
	before := len(w.calls)
	rec, err := w.rollback("", ThenSecrets)
	require.NoError(t, err)
	require.Equal(t, release.Succeeded, rec.Outcome)
	require.Equal(t, release.Rollback, rec.Kind)
	require.Equal(t, "r1", rec.Release.ID, "the release itself, not a copy")
	require.Equal(t, "r2", rec.Previous.ID)
	require.Equal(t, "the schema stays as it is", rec.Step("migrate").Note)
	require.NotContains(t, w.since(before), "migrate")
	inOrder(t, w.since(before), "apply blue", "wait ready", "answers of preview", "select blue", "park green")
	w.serves("1")
}

func TestARollbackTwiceGoesTwoReleasesBackAndNotForward(t *testing.T) {
	w := worldWith(t, "1", "2", "3")
	for _, want := range []string{"2", "1"} {
		_, err := w.rollback("", ThenSecrets)
		require.NoError(t, err)
		w.serves(want)
	}
	_, err := w.rollback("", ThenSecrets)
	require.Equal(t, outcome.Refused, outcome.CodeOf(err))
	require.ErrorContains(t, err, "no record says what served before r1")
	w.serves("1")
}

func TestARollbackToAReleaseThatNeverServedIsRefused(t *testing.T) {
	w := worldWith(t, "1", "2")
	w.sick["3"] = true
	_, err := w.deploy("3")
	require.Error(t, err)
	for _, to := range []string{"r3", "r9"} {
		_, err = w.rollback(to, ThenSecrets)
		require.Equal(t, outcome.Refused, outcome.CodeOf(err))
		require.ErrorContains(t, err, "release "+to+" is not among the kept ones that served")
		require.Contains(t, outcome.Explain(err), "dagger call history --env=prod")
	}
	w.serves("2")
}

func TestARollbackWithTheCurrentSecretsIsAReleaseOfItsOwn(t *testing.T) {
	w := worldWith(t, "1")
	in := input("2")
	in.Secrets = map[string]string{"DATABASE_URL": "postgres://notes:correct-horse-2@db/notes"}
	_, err := w.session().deployer(in).Deploy(context.Background())
	require.NoError(t, err)
	rec, err := w.rollback("r1", NowSecrets)
	require.NoError(t, err)
	require.Equal(t, "r3", rec.Release.ID)
	require.Equal(t, "1", rec.Release.Version)
	require.Equal(t, in.Secrets, w.configs["r3"])
	require.Equal(t, secretValue, w.configs["r1"]["DATABASE_URL"], "the old one's own stay as they were")
	w.serves("1")
}

func TestARollbackToWhatServesChangesNothing(t *testing.T) {
	w := worldWith(t, "1", "2")
	rec, err := w.rollback("r2", ThenSecrets)
	require.NoError(t, err)
	require.Equal(t, release.Unchanged, rec.Outcome)
	w.serves("2")
}

func TestAFailedRollbackKeepsTheReleaseThatItDidNotMake(t *testing.T) {
	w := worldWith(t, "1", "2")
	s := w.session()
	s.trouble = failing("answers of preview", errors.New("it does not answer"))
	_, err := s.deployer(plan.Input{Env: input("").Env}).Rollback(context.Background(), "", ThenSecrets)
	require.Equal(t, outcome.RolledBack, outcome.CodeOf(err))
	require.Contains(t, w.configs, "r1")
	w.serves("2")
	_, err = w.rollback("", ThenSecrets)
	require.NoError(t, err)
	w.serves("1")
}

// killedAt ends a process right after its call.
func (w *world) killedAt(version, call string) {
	w.t.Helper()
	s := w.session()
	s.trouble = func(name string, after bool) error {
		s.dead = s.dead || name == call && after
		return nil
	}
	_, err := s.deployer(input(version)).Deploy(context.Background())
	require.Error(w.t, err)
	require.True(w.t, s.dead, "it never came to %q", call)
	w.abandon()
}

func TestARollbackOfARunThatWasKilledWhileItBakedIsOneSwitch(t *testing.T) {
	w := worldWith(t, "1")
	w.killedAt("2", "probe of live")
	before := len(w.calls)
	rec, err := w.rollback("", ThenSecrets)
	require.NoError(t, err, "what was asked is true")
	require.Equal(t, release.RolledBack, rec.Outcome)
	calls := w.since(before)
	require.Contains(t, calls, "select blue")
	require.NotContains(t, calls, "apply blue", "the old colour is still up")
	w.serves("1")
}

func TestWhileARunIsUnfinishedOnlyWhatServedBeforeItCanBeBroughtBack(t *testing.T) {
	w := worldWith(t, "1", "2")
	w.killedAt("3", "probe of live")
	_, err := w.rollback("r1", ThenSecrets)
	require.Equal(t, outcome.Refused, outcome.CodeOf(err))
	require.ErrorContains(t, err, "only what served before it can be brought back now")
	_, err = w.rollback("r2", ThenSecrets)
	require.NoError(t, err)
	w.serves("2")
}

func TestARollbackAsksTheRunThatIsAtWorkToGoBack(t *testing.T) {
	w := worldWith(t, "1")
	s := w.session()
	asked := false
	s.trouble = func(call string, after bool) error {
		if call == "answers of live" && after && !asked {
			asked = true
			s.mu.Unlock() // the other process comes in between two calls
			defer s.mu.Lock()
			ok, err := w.session().AskStop(context.Background(), "ann")
			require.NoError(t, err)
			require.True(t, ok)
		}
		return nil
	}
	rec, err := s.deployer(input("2")).Deploy(context.Background())
	require.Equal(t, outcome.RolledBack, outcome.CodeOf(err))
	require.ErrorIs(t, err, ErrStopAsked)
	require.ErrorContains(t, err, "by ann")
	require.Equal(t, release.RolledBack, rec.Outcome)
	w.serves("1")
}

func TestResumeGoesOnWhereARunWasKilled(t *testing.T) {
	for _, call := range []string{"apply green", "answers of preview", "end one of green", "probe of preview", "select green", "probe of live", "park blue"} {
		t.Run(call, func(t *testing.T) {
			w := worldWith(t, "1")
			w.killedAt("2", call)
			d := w.session().deployer(plan.Input{Env: input("").Env}) // no secrets: the run has made its own
			rec, err := d.Resume(context.Background())
			require.NoError(t, err)
			require.Equal(t, release.Succeeded, rec.Outcome)
			require.Equal(t, "r2", rec.Release.ID)
			w.serves("2")
		})
	}
}

func TestThereIsNothingToResumeAfterARunThatFinished(t *testing.T) {
	w := worldWith(t, "1")
	_, err := w.session().deployer(input("1")).Resume(context.Background())
	require.Equal(t, outcome.Refused, outcome.CodeOf(err))
	require.ErrorContains(t, err, "no run of notes is unfinished")
}

func TestARunOfAnotherVersionsStepsIsNotTouched(t *testing.T) {
	w := worldWith(t, "1")
	w.killedAt("2", "answers of preview")
	rec := w.stored()
	rec.Steps = rec.Steps[1:]
	s := w.session()
	_, err := s.Load(context.Background())
	require.NoError(t, err)
	require.NoError(t, s.Save(context.Background(), rec))
	before := len(w.calls)
	_, err = w.session().deployer(input("2")).Resume(context.Background())
	require.Equal(t, outcome.Refused, outcome.CodeOf(err))
	require.ErrorContains(t, err, "begun by another version of cutover")
	require.Equal(t, []string{"load"}, w.since(before))
}

func TestUnlockNeedsAReasonAndNobodyAtWork(t *testing.T) {
	w := worldWith(t, "1")
	d := w.session().deployer(input("2"))
	_, err := d.Unlock(context.Background(), "tidied by hand")
	require.ErrorContains(t, err, "nothing is locked")

	w.killedAt("2", "answers of preview")
	_, err = d.Unlock(context.Background(), "")
	require.Equal(t, outcome.Refused, outcome.CodeOf(err))
	require.ErrorContains(t, err, "needs a reason")

	w.holder = "somebody"
	_, err = d.Unlock(context.Background(), "tidied by hand")
	require.ErrorContains(t, err, "another run is at work: somebody")
	w.holder = ""

	rec, err := d.Unlock(context.Background(), "tidied by hand")
	require.NoError(t, err)
	require.Equal(t, release.Abandoned, rec.Outcome)
	require.Equal(t, release.Abandoned, w.stored().Outcome)
	require.Equal(t, "tidied by hand", w.stored().Reasons["abandon"])
	require.Equal(t, release.Blue, w.stored().Serving)
	require.Empty(t, w.holder)
}

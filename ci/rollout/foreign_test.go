package rollout

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cutover.dev/ci/outcome"
	"cutover.dev/ci/release"
)

// byHand leads the live Service to a colour in the moment of a call.
func (s *session) byHand(moment string, colour release.Colour) {
	once := false
	s.trouble = func(call string, after bool) error {
		if call == moment && after && !once {
			once = true
			s.selects = colour
		}
		return nil
	}
}

func TestAServiceThatIsLedBackByHandWhileItBakesIsLeftThere(t *testing.T) {
	w := worldWith(t, "1")
	s := w.session()
	s.byHand("probe of live", release.Blue)
	rec, err := s.deployer(input("2")).Deploy(context.Background())
	require.Equal(t, outcome.RolledBack, outcome.CodeOf(err))
	require.ErrorContains(t, err, "somebody led the live Service elsewhere: to blue, not to green")
	require.Equal(t, release.RolledBack, rec.Outcome)
	w.serves("1")
}

func TestTheColourThatServesIsNeverParkedWhateverTheRecordSays(t *testing.T) {
	w := worldWith(t, "1")
	s := w.session()
	s.trouble = func(call string, after bool) error {
		if call == "save" && after && w.stored().Step("retire").State == release.Started {
			s.selects = release.Blue
		}
		return nil
	}
	before := len(w.calls)
	rec, err := s.deployer(input("2")).Deploy(context.Background())
	require.Equal(t, outcome.RolledBack, outcome.CodeOf(err))
	require.ErrorContains(t, err, "somebody led the live Service elsewhere: to blue, not to green")
	require.NotContains(t, w.since(before), "park blue")
	require.Equal(t, release.RolledBack, rec.Outcome)
	w.serves("1")
}

// A person leads the users back after the process was killed, wherever behind the
// switch that was.
func TestAKilledRunWhoseUsersWereLedBackByHandIsTakenBack(t *testing.T) {
	for _, call := range []string{"wait endpoints", "probe of live", "park blue"} {
		t.Run(call, func(t *testing.T) {
			w := worldWith(t, "1")
			s := w.session()
			s.trouble = func(name string, after bool) error {
				if s.dead = s.dead || name == call && w.selects == release.Green; s.dead {
					return errKilled
				}
				return nil
			}
			_, err := s.deployer(input("2")).Deploy(context.Background())
			require.Error(t, err)
			w.abandon()
			w.selects = release.Blue
			rec, err := w.session().deployer(input("2")).Resume(context.Background())
			require.Equal(t, outcome.RolledBack, outcome.CodeOf(err))
			require.ErrorContains(t, err, "the live Service was led back to blue")
			require.Equal(t, release.RolledBack, rec.Outcome)
			w.serves("1")
		})
	}
}

func TestPodsThatAPersonLedUsersToAreNotTakenAway(t *testing.T) {
	w := worldWith(t, "1")
	w.killedAt("2", "probe of preview")
	w.selects = release.Green
	_, err := w.rollback("", ThenSecrets)
	require.Equal(t, outcome.Halted, outcome.CodeOf(err))
	require.ErrorContains(t, err, "the pods of green may serve and stay")
	require.Equal(t, 3, w.colours[release.Green].size)
}

func TestARollbackThatStopsARunBeforeItBeganChangesNothing(t *testing.T) {
	w := worldWith(t, "1", "2")
	w.holder = "somebody run X process Y" // it has the lock, and has begun nothing
	w.lose = func(error) { w.holder = "" }
	before := len(w.calls)
	rec, err := w.rollback("", ThenSecrets)
	require.NoError(t, err)
	require.Equal(t, "r2", rec.ServingRelease().ID)
	require.NotContains(t, w.since(before), "begin")
	w.serves("2")
}

func TestARollbackOfARunThatWasRetiringFinishesItAndBringsTheOldOneBack(t *testing.T) {
	w := worldWith(t, "1")
	w.killedAt("2", "park blue")
	rec, err := w.rollback("", ThenSecrets)
	require.NoError(t, err)
	require.Equal(t, release.Rollback, rec.Kind)
	require.Equal(t, "r1", rec.Release.ID)
	w.serves("1")
}

func TestARollbackIsTheRemedyWhenNothingThatServesIsReady(t *testing.T) {
	w := worldWith(t, "1", "2")
	w.enough, w.colours[release.Green].ready = 0, 0
	_, err := w.rollback("", ThenSecrets)
	require.NoError(t, err)
	w.serves("1")
}

func TestARunKilledBehindItsOverlapGoesOn(t *testing.T) {
	w := worldWith(t, "1")
	in := input("2")
	in.Env.Switch.Overlap = time.Millisecond
	s := w.session()
	s.trouble = func(call string, after bool) error {
		s.dead = s.dead || call == "select green" && after
		return nil
	}
	_, err := s.deployer(in).Deploy(context.Background())
	require.Error(t, err)
	w.abandon()
	_, err = w.session().deployer(in).Resume(context.Background())
	require.NoError(t, err)
	w.serves("2")
}

func TestASwitchByHandAfterARunIsTakenNoteOfByUnlock(t *testing.T) {
	w := worldWith(t, "1", "2")
	w.colours[release.Blue].size, w.colours[release.Blue].ready = 3, 3
	w.selects = release.Blue
	_, err := w.deploy("3")
	require.Equal(t, outcome.Refused, outcome.CodeOf(err))
	require.Contains(t, outcome.Explain(err), "dagger call unlock --env=prod --abandon")

	d := w.session().deployer(input("3"))
	_, err = d.Unlock(context.Background(), "")
	require.ErrorContains(t, err, "by its record green serves, the Service leads to blue")
	rec, err := d.Unlock(context.Background(), "2 is bad")
	require.NoError(t, err)
	require.Equal(t, release.Succeeded, rec.Outcome, "how the run ended stays")
	require.Equal(t, "1", w.stored().ServingRelease().Version)
	require.Equal(t, "r1", w.stored().ServingRelease().ID)
	_, err = w.deploy("3")
	require.NoError(t, err)
	w.serves("3")
}

func TestWhatServesIsNotGuessedWhileTheServiceLeadsToBothColours(t *testing.T) {
	w := worldWith(t, "1")
	w.killedAt("2", "answers of preview")
	w.selects = release.Both
	w.colours[release.Green].ready = 3
	_, err := w.session().deployer(input("2")).Unlock(context.Background(), "by hand")
	require.Equal(t, outcome.Refused, outcome.CodeOf(err))
	require.ErrorContains(t, err, "what serves cannot be told")
}

func TestAPanicInAnUndoHaltsTheRun(t *testing.T) {
	s := step("a", Revert(func(context.Context, *release.Record) error { panic("index out of range") }))
	s.Do = func(context.Context, *release.Record) error { return errors.New("no") }
	_, rec, err := run(t, []Step{s}, nil)
	require.Equal(t, outcome.Halted, outcome.CodeOf(err))
	require.ErrorContains(t, err, "panic: index out of range")
	require.Equal(t, release.Halted, rec.Outcome)
	require.Contains(t, outcome.Explain(err), "dagger call resume --env=prod")
	require.Contains(t, outcome.Explain(err), "dagger call unlock --env=prod")
}

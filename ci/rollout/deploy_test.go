package rollout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"cutover.dev/ci/config"
	"cutover.dev/ci/outcome"
	"cutover.dev/ci/plan"
	"cutover.dev/ci/probe"
	"cutover.dev/ci/release"
)

func TestTheFirstReleaseServesAtOnce(t *testing.T) {
	w := newWorld(t)
	rec, err := w.deploy("1")
	require.NoError(t, err)
	require.Equal(t, release.Succeeded, rec.Outcome)
	require.Equal(t, "r1", rec.Release.ID)
	require.Equal(t, release.Blue, rec.Colour)
	require.True(t, rec.First())
	require.Equal(t, int64(1), rec.Release.Schema)
	require.Equal(t, "schema 0 -> 1: 1_notes.sql", rec.Step("migrate").Note)
	require.Equal(t, "nothing served before; 0 of 1000 requests failed since the switch", rec.Step("retire").Note)
	w.serves("1")
}

func TestTheSecondReleaseSwitchesAndRetiresTheFirst(t *testing.T) {
	w := worldWith(t, "1")
	before := len(w.calls)
	rec, err := w.deploy("2")
	require.NoError(t, err)
	require.Equal(t, release.Succeeded, rec.Outcome)
	require.Equal(t, "r2", rec.Release.ID)
	require.Equal(t, release.Green, rec.Colour)
	require.Equal(t, "r1", rec.Previous.ID)
	for name, state := range states(rec) {
		require.Equal(t, release.Done, state, name)
	}
	w.serves("2")

	inOrder(t, w.since(before), "create config", "migrate", "apply green", "wait ready", "answers of preview",
		"select green", "wait endpoints", "answers of live", "probe of live", "park blue", "wait gone", "stop agent", "tidy")
}

// inOrder checks that the calls were made one after the other, others between.
func inOrder(t *testing.T, calls []string, want ...string) {
	t.Helper()
	rest := calls
	for _, name := range want {
		i := slices.Index(rest, name)
		require.GreaterOrEqual(t, i, 0, "%q is not there, or too early, in %v", name, calls)
		rest = rest[i+1:]
	}
}

func TestTheRecordSaysWhatARunIs(t *testing.T) {
	w := worldWith(t, "1")
	d := w.session().deployer(input("2"))
	d.Label = "job 7"
	rec, err := d.Deploy(context.Background())
	require.NoError(t, err)
	require.Equal(t, release.FormatVersion, rec.Format)
	require.Equal(t, "job 7", rec.Label)
	require.Equal(t, "a test", rec.By)
	require.Equal(t, "notes-prod", rec.Namespace)
	require.Equal(t, 2, rec.Number)
	require.NotEmpty(t, rec.Run)
	require.NotEmpty(t, rec.Plan)
	require.NotNil(t, rec.Ended)
	for _, s := range rec.Steps {
		require.NotNil(t, s.Started, s.Name)
		require.NotNil(t, s.Ended, s.Name)
		require.NotEmpty(t, s.Note, s.Name)
	}
	require.Equal(t, rec.Clone(), w.stored(), "what is stored is what was returned")
}

func TestVersionsAlternateBetweenTheColours(t *testing.T) {
	w := worldWith(t, "1", "2")
	rec, err := w.deploy("1")
	require.NoError(t, err)
	require.Equal(t, release.Succeeded, rec.Outcome)
	require.Equal(t, "r3", rec.Release.ID)
	require.Equal(t, release.Blue, w.selects)
	w.serves("1")
}

func TestTheSameReleaseAgainChangesNothing(t *testing.T) {
	w := worldWith(t, "1")
	first := w.stored()
	before := len(w.calls)
	rec, err := w.deploy("1")
	require.NoError(t, err)
	require.Equal(t, []string{"watch", "load", "observe", "begin"}, w.since(before))
	require.Equal(t, release.Unchanged, rec.Outcome)
	require.Equal(t, "r1", rec.Release.ID)
	require.NotEqual(t, first.Run, rec.Run)
	require.Equal(t, 2, rec.Number)
	for name, state := range states(rec) {
		require.Equal(t, release.Skipped, state, name)
	}
	w.serves("1")

	_, err = w.deploy("2")
	require.NoError(t, err)
	w.serves("2")
	require.Equal(t, "r3", w.stored().Release.ID, "a number is never given twice")
	require.Equal(t, "r1", w.stored().Previous.ID)
}

func TestAFailedRaiseIsRolledBack(t *testing.T) {
	w := worldWith(t, "1")
	w.sick["2"] = true
	before := len(w.calls)
	rec, err := w.deploy("2")
	require.Equal(t, outcome.RolledBack, outcome.CodeOf(err))
	require.Contains(t, outcome.Explain(err), "now:  everything was taken back; r1 (version 1) serves on blue, as before")
	require.ErrorContains(t, err, "step raise: pod notes-x cannot become ready")
	require.Equal(t, release.RolledBack, rec.Outcome)
	require.Equal(t, release.RolledBack, w.stored().Outcome)
	require.Equal(t, release.Undone, rec.Step("raise").State)
	require.Equal(t, release.Pending, rec.Step("switch").State)
	for _, c := range w.since(before) {
		require.NotContains(t, c, "select", "the selector must not be touched")
	}
	require.Zero(t, w.colours[release.Green].size)
	require.NotContains(t, w.configs, "r2", "the failed release's configuration")
	require.Contains(t, w.configs, "r1")
	w.serves("1")
}

func TestAFailedFirstReleaseLeavesNothing(t *testing.T) {
	for _, call := range []string{"wait ready", "answers of preview", "wait endpoints", "answers of live"} {
		t.Run(call, func(t *testing.T) {
			w := newWorld(t)
			s := w.session()
			s.trouble = failing(call, errors.New("no"))
			rec, err := s.deployer(input("1")).Deploy(context.Background())
			require.Equal(t, outcome.RolledBack, outcome.CodeOf(err))
			require.Contains(t, outcome.Explain(err), "nothing serves, as before this first release")
			require.Nil(t, rec.ServingRelease())
			require.Equal(t, release.None, w.selects)
			require.Empty(t, w.colours)
			require.Empty(t, w.configs)
			w.noHelpers()

			_, err = w.deploy("1")
			require.NoError(t, err, "the next attempt")
			w.serves("1")
		})
	}
}

func TestFailedVerifyLeavesTrafficOnLive(t *testing.T) {
	w := worldWith(t, "1")
	s := w.session()
	s.trouble = failing("answers of preview", errors.New("preview answers version 1"))
	before := len(w.calls)
	rec, err := s.deployer(input("2")).Deploy(context.Background())
	require.Equal(t, outcome.RolledBack, outcome.CodeOf(err))
	require.ErrorContains(t, err, "step verify: preview answers version 1")
	require.Equal(t, release.Broken, rec.Step("verify").State)
	for _, c := range w.since(before) {
		require.NotContains(t, c, "select")
	}
	w.serves("1")
}

func TestAVersionThatFailsLiveIsSwitchedBack(t *testing.T) {
	w := worldWith(t, "1")
	s := w.session()
	live := 0
	s.trouble = func(call string, after bool) error {
		if call == "answers of live" && !after {
			if live++; live == 2 { // the first is the switch's own
				return errors.New("live does not answer")
			}
		}
		return nil
	}
	before := len(w.calls)
	rec, err := s.deployer(input("2")).Deploy(context.Background())
	require.Equal(t, outcome.RolledBack, outcome.CodeOf(err))
	require.ErrorContains(t, err, "step verify-live")
	require.Equal(t, release.Undone, rec.Step("switch").State)
	require.Equal(t, "back to blue", rec.Step("switch").Note)
	inOrder(t, w.since(before), "select green", "select blue", "answers of live", "park green", "delete release r2")
	w.serves("1")
}

func TestAfterAFailedUndoNothingIsTouched(t *testing.T) {
	w := worldWith(t, "1")
	s := w.session()
	s.trouble = func(call string, after bool) error {
		if call == "select blue" && !after || call == "answers of live" && w.selects == release.Green {
			return errors.New("the API server is gone")
		}
		return nil
	}
	rec, err := s.deployer(input("2")).Deploy(context.Background())
	require.Equal(t, outcome.Halted, outcome.CodeOf(err))
	require.ErrorContains(t, err, "undo of step switch")
	require.Contains(t, outcome.Explain(err), "as far as known r2 (version 2) serves on green")
	require.Equal(t, release.Halted, rec.Outcome)
	require.Equal(t, release.Halted, w.stored().Outcome)
	require.Equal(t, release.Undoing, rec.Step("switch").State)
	require.Equal(t, release.Done, rec.Step("raise").State, "raise comes before switch, so it is not undone")
	require.Equal(t, 3, w.colours[release.Green].size)
	require.Contains(t, w.configs, "r2")

	before := len(w.calls)
	_, err = w.deploy("2")
	require.NoError(t, err, "the next deploy tries the undo once more")
	require.Contains(t, w.since(before), "select blue")
	require.Equal(t, release.RolledBack, w.archive[len(w.archive)-1].Outcome)
	w.serves("2")
}

func TestAPanicIsUndone(t *testing.T) {
	for _, call := range []string{"migrate", "apply green", "wait ready", "select green", "answers of live"} {
		t.Run(call, func(t *testing.T) {
			w := worldWith(t, "1")
			s := w.session()
			once := false
			s.trouble = func(name string, after bool) error {
				if name == call && after && !once {
					once = true
					panic("index out of range")
				}
				return nil
			}
			rec, err := s.deployer(input("2")).Deploy(context.Background())
			require.Equal(t, outcome.RolledBack, outcome.CodeOf(err))
			require.ErrorContains(t, err, "panic: index out of range")
			require.Equal(t, release.RolledBack, rec.Outcome)
			w.serves("1")
		})
	}
}

func TestAnApplicationThatIsDownIsNotDeployedOverWithoutAReason(t *testing.T) {
	w := worldWith(t, "1")
	w.enough, w.colours[release.Blue].ready = 0, 0
	before := len(w.calls)
	rec, err := w.deploy("2")
	require.Equal(t, outcome.Refused, outcome.CodeOf(err))
	require.ErrorContains(t, err, "no pod of blue, which serves, is ready")
	require.Contains(t, outcome.Explain(err), `or the same command with --live-is-broken="why"`)
	require.Contains(t, outcome.Explain(err), "now:  nothing was changed")
	require.Nil(t, rec)
	require.Equal(t, []string{"watch", "load", "observe", "inspect", "check"}, w.since(before))

	in := input("2")
	in.LiveIsBroken = "out of memory since noon"
	rec, err = w.session().deployer(in).Deploy(context.Background())
	require.NoError(t, err)
	require.Equal(t, "out of memory since noon", rec.Reasons["live-is-broken"])
	require.NotNil(t, rec.Baseline)
	w.serves("2")
}

func TestAFixThatFailsLeadsBackToTheBrokenVersionAndDoesNotHalt(t *testing.T) {
	w := worldWith(t, "1")
	w.enough, w.colours[release.Blue].ready = 0, 0
	w.lossy["2"] = true
	in := input("2")
	in.LiveIsBroken = "out of memory since noon"
	rec, err := w.session().deployer(in).Deploy(context.Background())
	require.Equal(t, outcome.RolledBack, outcome.CodeOf(err), "%v", err)
	require.Equal(t, release.Blue, w.selects)
	require.NotNil(t, rec.SwitchedBack)
}

func TestAFixMayBeAsBadAsWhatItReplaces(t *testing.T) {
	rec := &release.Record{}
	rec.Release.Env.Probe = config.Probe{Samples: 20, Tolerate: 1}
	for _, c := range []struct {
		baseline   *probe.Count
		ok, failed int
		borne      int
		known      bool
	}{
		{nil, 10, 0, 1, true},
		{&probe.Count{}, 10, 0, 1, true}, // nothing was seen of it
		{&probe.Count{OK: 50, Failed: 50}, 5, 5, 5, false},
		{&probe.Count{OK: 50, Failed: 50}, 20, 20, 20, true},
		{&probe.Count{OK: 99, Failed: 1}, 30, 0, 1, true},
	} {
		rec.Baseline = c.baseline
		borne, known := tolerated(rec, probe.Tally{Count: probe.Count{OK: c.ok, Failed: c.failed}})
		require.Equal(t, c.borne, borne)
		require.Equal(t, c.known, known)
	}
}

func TestAServiceThatMovedSinceThePlanIsRefused(t *testing.T) {
	w := worldWith(t, "1", "2")
	w.colours[release.Blue].ready, w.colours[release.Blue].size = 3, 3
	s := w.session()
	s.trouble = func(call string, after bool) error {
		if call == "begin" && after {
			w.selects = release.Blue // by hand, in this moment
		}
		return nil
	}
	rec, err := s.deployer(input("3")).Deploy(context.Background())
	require.Equal(t, outcome.Refused, outcome.CodeOf(err))
	require.ErrorContains(t, err, "the live Service leads to blue, but the plan saw green")
	require.Equal(t, release.Refused, rec.Outcome)
	require.Equal(t, release.Blue, w.selects)
}

func TestAPlanWithFindingsIsRefusedBeforeARunBegins(t *testing.T) {
	w := worldWith(t, "1")
	in := input("2")
	in.Secrets = nil
	before := w.revision
	rec, err := w.session().deployer(in).Deploy(context.Background())
	require.Nil(t, rec)
	require.Equal(t, outcome.Refused, outcome.CodeOf(err))
	require.ErrorContains(t, err, "DATABASE_URL")
	require.Equal(t, before, w.revision, "no record was written")
	w.serves("1")
}

func TestAMachineThatFailsBeforeAnythingWasChangedSaysTryAgain(t *testing.T) {
	for _, call := range []string{"watch", "observe", "begin"} {
		t.Run(call, func(t *testing.T) {
			w := worldWith(t, "1")
			s := w.session()
			s.trouble = failing(call, errors.New("no route to host"))
			rec, err := s.deployer(input("2")).Deploy(context.Background())
			require.Nil(t, rec)
			require.Equal(t, outcome.Failed, outcome.CodeOf(err))
			require.ErrorContains(t, err, "no route to host")
			w.serves("1")
		})
	}
}

func TestAFailedMigrationNamesItsFileAndNeverRaises(t *testing.T) {
	w := worldWith(t, "1")
	s := w.session()
	before := len(w.calls)
	d := s.deployer(input("2"))
	d.Cluster = failedMigration{s}
	rec, err := d.Deploy(context.Background())
	require.Equal(t, outcome.RolledBack, outcome.CodeOf(err))
	require.ErrorContains(t, err, `2_tags.sql failed: relation "tags" exists`)
	require.Contains(t, outcome.Explain(err), "next: correct the migration, commit, and deploy again")
	require.Equal(t, int64(1), rec.Release.Schema)
	require.NotContains(t, w.since(before), "apply green")
	w.serves("1")
}

type failedMigration struct{ *session }

func (failedMigration) Migrate(context.Context, *release.Record, func(string)) (string, error) {
	return `result: {"from":1,"to":1,"failed":"2_tags.sql","error":"relation \"tags\" exists"}` + "\n", errors.New("the Job failed")
}

func TestARunThatIsAtWorkIsNotDisturbed(t *testing.T) {
	w := worldWith(t, "1")
	w.holder = "somebody run ABC"
	before := len(w.calls)
	rec, err := w.deploy("2")
	require.Nil(t, rec)
	require.Equal(t, outcome.Refused, outcome.CodeOf(err))
	require.Empty(t, w.since(before))
	require.Equal(t, "somebody run ABC", w.holder)
}

func TestAFailedRetireStillSucceeds(t *testing.T) {
	w := worldWith(t, "1")
	s := w.session()
	s.trouble = failing("wait gone", errors.New("1 pods of blue have not ended"))
	rec, err := s.deployer(input("2")).Deploy(context.Background())
	require.NoError(t, err)
	require.Equal(t, release.Succeeded, rec.Outcome)
	require.Equal(t, release.Broken, rec.Step("retire").State)
	require.Contains(t, rec.Step("retire").Error, "have not ended")
	w.serves("2")
}

func TestAConflictStopsTheRunAndUndoesNothing(t *testing.T) {
	w := worldWith(t, "1")
	s := w.session()
	taken := -1
	s.trouble = func(call string, after bool) error {
		if call == "wait ready" && after && taken < 0 {
			w.revision++ // somebody else writes
			taken = len(w.calls)
		}
		return nil
	}
	head := ""
	_, err := s.deployer(input("2")).Deploy(context.Background())
	head = string(w.head)
	require.Equal(t, outcome.Halted, outcome.CodeOf(err))
	require.ErrorIs(t, err, ErrConflict)
	require.Contains(t, outcome.Explain(err), "another run has taken over; this one stopped and undid nothing")
	require.Equal(t, []string{"save"}, w.since(taken), "nothing but the refused write")
	require.Equal(t, head, string(w.head))
	require.Equal(t, 4, w.colours[release.Green].ready)
}

func TestALostLockStopsTheRunAndUndoesNothing(t *testing.T) {
	w := worldWith(t, "1")
	s := w.session()
	lost := -1
	s.trouble = func(call string, after bool) error {
		if call == "wait ready" && !after && lost < 0 {
			lost = len(w.calls)
			s.lose(fmt.Errorf("%w: somebody has it now", ErrLockLost))
		}
		return nil
	}
	_, err := s.deployer(input("2")).Deploy(context.Background())
	require.Equal(t, outcome.Halted, outcome.CodeOf(err))
	require.ErrorIs(t, err, ErrLockLost)
	for _, c := range w.since(lost) {
		require.Equal(t, "save", c, "another run is at work: nothing may be touched")
	}
	_, err = w.deploy("2")
	require.NoError(t, err)
	w.serves("2")
}

func TestACancelledRunIsUndone(t *testing.T) {
	w := worldWith(t, "1")
	ctx, cancel := context.WithCancel(context.Background())
	s := w.session()
	s.trouble = func(call string, after bool) error {
		if call == "answers of preview" && !after {
			cancel()
		}
		return nil
	}
	rec, err := s.deployer(input("2")).Deploy(ctx)
	require.Equal(t, outcome.RolledBack, outcome.CodeOf(err))
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, release.RolledBack, w.stored().Outcome)
	require.Equal(t, release.RolledBack, rec.Outcome)
	w.serves("1")
}

func TestARunCancelledWhileItRetiresHasSucceeded(t *testing.T) {
	w := worldWith(t, "1")
	ctx, cancel := context.WithCancel(context.Background())
	s := w.session()
	s.trouble = func(call string, after bool) error {
		if call == "wait gone" && !after {
			cancel()
		}
		return nil
	}
	_, err := s.deployer(input("2")).Deploy(ctx)
	require.NoError(t, err)
	require.Equal(t, release.Succeeded, w.stored().Outcome)
	w.serves("2")
}

func TestEventsTellEveryChangeInOrder(t *testing.T) {
	w := worldWith(t, "1")
	w.sick["2"] = true
	s := w.session()
	_, err := s.deployer(input("2")).Deploy(context.Background())
	require.Error(t, err)
	var told []string
	for _, e := range s.events {
		told = append(told, strings.TrimSpace(e.Step+" "+string(e.State)+" "+e.Said))
	}
	require.Equal(t, []string{
		"", "preflight started", "preflight done", "migrate started", "migrate started applying", "migrate done",
		"raise started", "raise failed", "raise undoing", "raise undone", "migrate undoing", "migrate undone",
	}, told)
	require.Contains(t, s.events[0].Note, "a short-lived pod looks")
	require.Equal(t, "pod notes-x cannot become ready: CrashLoopBackOff", s.events[7].Note)
}

func TestAColourThatFellIllSinceItWasVerifiedIsNotSwitchedTo(t *testing.T) {
	w := worldWith(t, "1")
	s := w.session()
	s.trouble = func(call string, after bool) error {
		if call == "probe of preview" && after {
			w.sick["2"], w.colours[release.Green].ready = true, 0
		}
		return nil
	}
	before := len(w.calls)
	_, err := s.deployer(input("2")).Deploy(context.Background())
	require.Equal(t, outcome.RolledBack, outcome.CodeOf(err))
	require.ErrorContains(t, err, "step switch")
	require.NotContains(t, w.since(before), "select green")
	w.serves("1")
}

func TestWhatWouldStopTheRunIsToldBeforeItBegins(t *testing.T) {
	w := newWorld(t)
	w.inspected.Denied = []plan.Right{{Group: "apps", Resource: "deployments", Verb: "create"}}
	rec, err := w.deploy("1")
	require.Equal(t, outcome.Refused, outcome.CodeOf(err))
	require.ErrorContains(t, err, "the account may not create deployments.apps")
	require.Nil(t, rec)
	require.Empty(t, w.head, "no run was begun")
}

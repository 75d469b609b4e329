package rollout

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"cutover.dev/ci/outcome"
	"cutover.dev/ci/release"
)

// kill lets a process deploy until its call of that number, and ends it there:
// nothing that it does afterwards has any effect, as after kill -9. It reports
// whether the process came that far.
func (w *world) kill(version string, at int, after bool, trouble func(string, bool) error) bool {
	s := w.session()
	s.killAt, s.killAfter, s.trouble = at, after, trouble
	_, err := s.deployer(input(version)).Deploy(context.Background())
	if s.dead {
		require.Error(w.t, err)
	}
	return s.dead
}

func TestAKilledRunIsUndoneBeforeTheNextDeploys(t *testing.T) {
	w := worldWith(t, "1")
	s := w.session()
	s.trouble = func(call string, after bool) error {
		s.dead = call == "select green" && after
		return nil
	}
	_, err := s.deployer(input("2")).Deploy(context.Background())
	require.Error(t, err)
	require.Equal(t, release.Running, w.stored().Outcome)
	require.Equal(t, release.Started, w.stored().Step("switch").State)
	require.Equal(t, release.Green, w.selects)

	before := len(w.calls)
	next := w.session()
	rec, err := next.deployer(input("3")).Deploy(context.Background())
	require.NoError(t, err)
	require.Equal(t, "r3", rec.Release.ID)
	inOrder(t, w.since(before), "select blue", "answers of live", "delete release r2", "begin", "apply green")
	require.Equal(t, release.RolledBack, w.archive[len(w.archive)-1].Outcome, "the killed run's record")
	require.Contains(t, next.events[0].Note, "did not finish")
	require.NotContains(t, w.configs, "r2")
	w.serves("3")
}

// Once the old colour may be gone, there is no way back to it.
func TestARunKilledWhileItRetiresIsFinishedRatherThanUndone(t *testing.T) {
	for _, call := range []string{"stop agent", "park blue", "wait gone", "tidy"} {
		t.Run(call, func(t *testing.T) {
			w := worldWith(t, "1")
			s := w.session()
			s.trouble = func(name string, after bool) error {
				s.dead = name == call && after
				return nil
			}
			_, err := s.deployer(input("2")).Deploy(context.Background())
			require.Error(t, err)
			require.Equal(t, release.Running, w.stored().Outcome)

			before := len(w.calls)
			rec, err := w.deploy("2")
			require.NoError(t, err)
			require.NotContains(t, w.since(before), "select blue")
			require.Equal(t, release.Unchanged, rec.Outcome)
			require.Equal(t, release.Succeeded, w.archive[len(w.archive)-1].Outcome)
			w.serves("2")
		})
	}
}

func TestAKillAtAnyMomentIsSurvived(t *testing.T) {
	for first, versions := range map[bool][]string{true: nil, false: {"1"}} {
		for _, after := range []bool{false, true} {
			for at := 0; ; at++ {
				w := worldWith(t, versions...)
				if !w.kill("2", at, after, nil) {
					require.Greater(t, at, 30, "a deploy makes more calls than that")
					break
				}
				name := fmt.Sprintf("first=%t call %d after=%t", first, at, after)
				t.Run(name, func(t *testing.T) {
					w.t = t
					_, err := w.deploy("2")
					require.NoError(t, err)
					require.True(t, w.stored().Outcome.Finished())
					for _, rec := range w.archive {
						require.True(t, rec.Outcome.Finished(), "run %d: %s", rec.Number, rec.Outcome)
					}
					w.serves("2")
				})
			}
		}
	}
}

func TestAKillWhileUndoingIsSurvived(t *testing.T) {
	for at := 0; ; at++ {
		w := worldWith(t, "1")
		broken := func(call string, after bool) error {
			if call == "answers of live" && after && w.selects == release.Green {
				return errors.New("live answers badly")
			}
			return nil
		}
		if !w.kill("2", at, true, broken) {
			require.Equal(t, release.RolledBack, w.stored().Outcome)
			break
		}
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			w.t = t
			_, err := w.deploy("3")
			require.NoError(t, err)
			w.serves("3")
		})
	}
}

func TestAKillWhileRecoveringIsSurvived(t *testing.T) {
	for at := 0; ; at++ {
		w := worldWith(t, "1")
		s := w.session()
		s.trouble = func(call string, after bool) error {
			s.dead = call == "select green" && after
			return nil
		}
		_, err := s.deployer(input("2")).Deploy(context.Background())
		require.Error(t, err)
		if !w.kill("3", at, true, nil) {
			break
		}
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			w.t = t
			_, err := w.deploy("4")
			require.NoError(t, err)
			w.serves("4")
		})
	}
}

func TestARecoveryThatFailsHaltsAndDoesNotDeploy(t *testing.T) {
	w := worldWith(t, "1")
	s := w.session()
	s.trouble = func(call string, after bool) error {
		s.dead = call == "select green" && after
		return nil
	}
	_, err := s.deployer(input("2")).Deploy(context.Background())
	require.Error(t, err)

	next := w.session()
	next.trouble = failing("select blue", errors.New("forbidden"))
	before := len(w.calls)
	rec, err := next.deployer(input("3")).Deploy(context.Background())
	require.Nil(t, rec)
	require.Equal(t, outcome.Halted, outcome.CodeOf(err))
	require.NotContains(t, w.since(before), "begin")
	require.Equal(t, release.Halted, w.stored().Outcome)
	require.Equal(t, "r2", w.stored().Release.ID)
}

func TestARecoveryThatLosesItsRecordToAnotherRunDoesNotDeploy(t *testing.T) {
	w := worldWith(t, "1")
	s := w.session()
	s.trouble = func(call string, after bool) error {
		s.dead = call == "apply green" && after
		return nil
	}
	_, err := s.deployer(input("2")).Deploy(context.Background())
	require.Error(t, err)

	next := w.session()
	next.trouble = func(call string, after bool) error {
		if call == "save" && !after && w.colours[release.Green].size == 0 && w.stored().Step("raise").State == release.Undone {
			w.revision++ // somebody else writes just before the last save of the undo
		}
		return nil
	}
	before := len(w.calls)
	_, err = next.deployer(input("3")).Deploy(context.Background())
	require.ErrorIs(t, err, ErrConflict)
	require.NotContains(t, w.since(before), "begin")
}

package rollout

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cutover.dev/ci/outcome"
	"cutover.dev/ci/plan"
	"cutover.dev/ci/release"
)

// deployWithFault carries out a run of its own with faults injected.
func (w *world) deployWithFault(version string, fault func(Point) error) (*release.Record, error) {
	s := w.session()
	d := s.deployer(input(version))
	ctx := context.Background()
	seen, err := s.Observe(ctx)
	require.NoError(w.t, err)
	rec := d.record("RUN", plan.Make(d.Input, seen))
	require.NoError(w.t, s.Begin(ctx, rec))
	lock, err := s.Lock(ctx, release.Holder("a test", "RUN"))
	require.NoError(w.t, err)
	defer lock.Unlock()
	r := d.runner(lock)
	r.Fault = fault
	return rec, r.Run(ctx, rec)
}

func TestARunWhoseLastSaveFailedIsSettledByTheNext(t *testing.T) {
	for _, phase := range []Phase{BeforeSave, AfterSave} {
		t.Run(string(phase), func(t *testing.T) {
			w := worldWith(t, "1")
			_, err := w.deployWithFault("2", func(p Point) error {
				if p == (Point{"", phase}) {
					return errors.New("injected")
				}
				return nil
			})
			require.Equal(t, outcome.Halted, outcome.CodeOf(err))
			require.Contains(t, outcome.Explain(err), "the new version serves")
			_, err = w.deploy("2")
			require.NoError(t, err)
			w.serves("2")
		})
	}
}

// run carries out steps of a test's own, with nothing in the world but the store.
func run(t *testing.T, steps []Step, states map[string]release.State) (*world, *release.Record, error) {
	t.Helper()
	require.NoError(t, Validate(steps))
	w := newWorld(t)
	w.bare = true
	s := w.session()
	rec := &release.Record{Run: "RUN", Outcome: release.Running}
	rec.Release.Env.Name = "prod"
	for _, st := range steps {
		state := states[st.Name]
		if state == "" {
			state = release.Pending
		}
		rec.Steps = append(rec.Steps, release.Step{Name: st.Name, State: state})
	}
	require.NoError(t, s.Begin(context.Background(), rec))
	return w, rec, (&Runner{Steps: steps, Store: s}).Run(context.Background(), rec)
}

func TestDoneStepsAreNotDoneAgain(t *testing.T) {
	var did []string
	act := func(name string) Step {
		s := step(name, Keep("a test"))
		s.Do = func(context.Context, *release.Record) error { did = append(did, name); return nil }
		return s
	}
	_, rec, err := run(t, []Step{act("a"), act("b"), act("c")}, map[string]release.State{"a": release.Done, "b": release.Started})
	require.NoError(t, err)
	require.Equal(t, []string{"b", "c"}, did)
	require.Equal(t, release.Succeeded, rec.Outcome)
}

func TestAStepThatMustHappenOnceIsNotEnteredTwice(t *testing.T) {
	s := step("a", Keep("a test"))
	s.Once = true
	s.Do = func(context.Context, *release.Record) error { t.Error("it was entered"); return nil }
	w, rec, err := run(t, []Step{s}, map[string]release.State{"a": release.Started})
	require.Equal(t, outcome.Halted, outcome.CodeOf(err))
	require.Equal(t, release.Halted, rec.Outcome)
	require.Equal(t, release.Halted, w.stored().Outcome)
}

func TestUndosComeInReverseAndOnlyForWhatWasBegun(t *testing.T) {
	var undone []string
	act := func(name string, err error) Step {
		s := step(name, Revert(func(context.Context, *release.Record) error { undone = append(undone, name); return nil }))
		s.Do = func(context.Context, *release.Record) error { return err }
		return s
	}
	_, rec, err := run(t, []Step{act("a", nil), act("b", nil), act("c", errors.New("no")), act("d", nil)}, nil)
	require.Equal(t, outcome.RolledBack, outcome.CodeOf(err))
	require.Equal(t, []string{"c", "b", "a"}, undone)
	require.Equal(t, map[string]release.State{"a": release.Undone, "b": release.Undone, "c": release.Undone, "d": release.Pending}, states(rec))
}

func TestAStepThatTakesTooLongSaysItsTimeout(t *testing.T) {
	s := step("a", Reads())
	s.Timeout = time.Millisecond
	s.Do = func(ctx context.Context, _ *release.Record) error { <-ctx.Done(); return ctx.Err() }
	_, _, err := run(t, []Step{s}, nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "step a: not done within 1ms")
}

func TestIntentIsStoredBeforeTheAct(t *testing.T) {
	var w *world
	s := step("a", Keep("a test"))
	var before release.State
	s.Do = func(context.Context, *release.Record) error { before = w.stored().Step("a").State; return nil }
	w = newWorld(t)
	w.bare = true
	sess := w.session()
	rec := &release.Record{Steps: []release.Step{{Name: "a", State: release.Pending}}, Outcome: release.Running}
	require.NoError(t, sess.Begin(context.Background(), rec))
	require.NoError(t, (&Runner{Steps: []Step{s}, Store: sess}).Run(context.Background(), rec))
	require.Equal(t, release.Started, before)
	require.Equal(t, release.Done, w.stored().Step("a").State)
}

func TestTheIntentToUndoIsStoredBeforeTheUndo(t *testing.T) {
	w := newWorld(t)
	w.bare = true
	var before release.State
	s := step("a", Revert(func(context.Context, *release.Record) error { before = w.stored().Step("a").State; return nil }))
	s.Do = func(context.Context, *release.Record) error { return errors.New("no") }
	sess := w.session()
	rec := &release.Record{Steps: []release.Step{{Name: "a", State: release.Pending}}, Outcome: release.Running}
	require.NoError(t, sess.Begin(context.Background(), rec))
	require.Error(t, (&Runner{Steps: []Step{s}, Store: sess}).Run(context.Background(), rec))
	require.Equal(t, release.Undoing, before)
	require.Equal(t, release.Undone, w.stored().Step("a").State)
}

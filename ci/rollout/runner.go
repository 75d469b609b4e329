package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"cutover.dev/ci/outcome"
	"cutover.dev/ci/probe"
	"cutover.dev/ci/release"
)

// Store keeps the record of the current run. Save compares before it swaps: it
// fails with ErrConflict when somebody else wrote in between.
type Store interface {
	// Load returns the last run's record, nil if there never was one.
	Load(ctx context.Context) (*release.Record, error)
	// Begin keeps the record as the current one, gives it its release ID, and
	// files the finished one before it.
	Begin(ctx context.Context, rec *release.Record) error
	// Save overwrites the current record.
	Save(ctx context.Context, rec *release.Record) error
	// History returns a line for every run that is remembered, the newest last.
	History(ctx context.Context) ([]release.Summary, error)
	// Find returns the newest kept record that ended well with the release, nil if
	// none is kept.
	Find(ctx context.Context, releaseID string) (*release.Record, error)
	// KeepSeries files what the prober saw in each second of the run.
	KeepSeries(ctx context.Context, rec *release.Record, seconds []probe.Second) error
}

// ErrConflict says that somebody else wrote the record: this run no longer owns
// it and has to stop.
var ErrConflict = errors.New("the record was written by somebody else")

// Event tells that a step, or the run (Step empty), came to a new state.
type Event struct {
	Step  string
	State release.State
	// Note is what the step found or did, or why it failed.
	Note    string
	Seconds float64
	// Said is a line that a helper of the step printed; the state is as it was.
	Said string
}

// Phase is a moment around an act at which a test can inject a fault.
type Phase string

// The moments around an act. Saves come before and after every act, so both
// save phases occur several times in a step.
const (
	BeforeDo   Phase = "before act"
	AfterDo    Phase = "after act"
	BeforeSave Phase = "before save"
	AfterSave  Phase = "after save"
	BeforeUndo Phase = "before undo"
)

// Point is a moment in a run.
type Point struct {
	Step  string
	Phase Phase
}

// Runner takes a list of steps from its first unfinished one to the end, and
// back again when one fails. It writes the record before and after every act;
// what to do next is decided from the record alone.
type Runner struct {
	Steps []Step
	Store Store
	// Lock is what the run holds.
	Lock Lock
	// Notify is told of every change, in order. It must return at once and cannot
	// fail the run. Nil: nobody is told.
	Notify func(Event)
	// Fault is called at every Point; an error is the act's. Nil outside tests.
	Fault func(Point) error
}

// patience is how long an undo waits for a cluster that does not answer. Nothing
// can be done meanwhile, and what serves goes on serving.
const patience = 10 * time.Minute

// Resume goes on with a run that was interrupted: forward from its first
// unfinished step, or backward if it was on its way back or a step had failed.
// Once the last step has begun there is only forward.
func (r *Runner) Resume(ctx context.Context, rec *release.Record) error {
	if rec.Undoing || rec.Outcome == release.Halted || r.broken(rec) {
		return r.Undo(ctx, rec, errors.New(cmp.Or(rec.Error, "the run was interrupted")))
	}
	return r.Run(ctx, rec)
}

// broken reports whether a step failed whose failure sends the run back.
func (r *Runner) broken(rec *release.Record) bool {
	for _, s := range r.Steps {
		if st := rec.Step(s.Name); st.State == release.Broken && s.Undo.kind != finals {
			rec.Error = cmp.Or(rec.Error, fmt.Sprintf("step %s: %s", s.Name, st.Error))
			return true
		}
	}
	return false
}

// Final reports whether the run's last step has begun, so that there is no way
// back.
func (r *Runner) Final(rec *release.Record) bool {
	last := r.Steps[len(r.Steps)-1]
	return last.Undo.kind == finals && rec.Step(last.Name).State != release.Pending
}

// Run carries out every step that the record does not call done. When one
// fails, all before it are undone, from the record and in reverse. The error,
// if any, is an *outcome.Error; the record holds the same.
func (r *Runner) Run(ctx context.Context, rec *release.Record) error {
	rec.Outcome = release.Running
	for _, s := range r.Steps {
		st := rec.Step(s.Name)
		if st.State == release.Done || st.State == release.Skipped {
			continue
		}
		if s.Once && st.State == release.Started {
			return r.halt(ctx, rec, fmt.Errorf("step %s was interrupted and must not be entered twice", s.Name))
		}
		err := r.do(ctx, rec, s, st)
		switch {
		case err == nil:
		case r.lost(ctx, err):
			return r.overtaken(rec, fmt.Errorf("step %s: %w", s.Name, err))
		case s.Undo.kind == finals && rec.Kind != release.Contract && !errors.Is(err, errLedAway):
			// There is no way back any more and the new version serves: what could not
			// be tidied up is worth a note, not an alarm.
		default:
			return r.Undo(ctx, rec, fmt.Errorf("step %s: %w", s.Name, err))
		}
	}
	if err := r.finish(ctx, rec, release.Succeeded); err != nil {
		return &outcome.Error{Code: outcome.Halted, Err: err,
			Now: "the new version serves, but the record does not say so", Next: "dagger call resume --env=" + rec.Release.Env.Name}
	}
	return nil
}

// lost reports whether another run has taken over.
func (r *Runner) lost(ctx context.Context, err error) bool {
	return errors.Is(err, ErrConflict) || errors.Is(err, ErrLockLost) || errors.Is(context.Cause(ctx), ErrLockLost)
}

// overtaken ends a run that no longer owns the application. It writes nothing.
func (r *Runner) overtaken(rec *release.Record, err error) error {
	return &outcome.Error{Code: outcome.Halted, Err: err,
		Now: "another run has taken over; this one stopped and undid nothing", Next: "dagger call status --env=" + rec.Release.Env.Name}
}

// do carries out one step, its intent saved before and its end saved after.
func (r *Runner) do(ctx context.Context, rec *release.Record, s Step, st *release.Step) error {
	st.State, st.Started, st.Ended, st.Error = release.Started, now(), nil, ""
	if err := r.save(ctx, rec, s.Name); err != nil {
		return err
	}
	r.tell(s.Name, st)

	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	err := r.act(ctx, rec, s)

	st.Ended = now()
	if err != nil {
		st.State, st.Error = release.Broken, err.Error()
		r.tell(s.Name, st)
		if saveErr := r.saveDetached(ctx, rec, s.Name); saveErr != nil {
			return errors.Join(err, saveErr)
		}
		return err
	}
	st.State = release.Done
	if err := r.save(ctx, rec, s.Name); err != nil {
		return err
	}
	r.tell(s.Name, st)
	return nil
}

// act calls Do between its two fault points. A panic is a failure like any
// other: what it left behind is undone.
func (r *Runner) act(ctx context.Context, rec *release.Record, s Step) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	if err := r.fault(s.Name, BeforeDo); err != nil {
		return err
	}
	if err := s.Do(ctx, rec); err != nil {
		switch cause := context.Cause(ctx); {
		case cause == nil || errors.Is(err, cause) && cause != context.DeadlineExceeded:
			return err
		case errors.Is(cause, context.DeadlineExceeded):
			return fmt.Errorf("not done within %s: %w", s.Timeout, err)
		default:
			return fmt.Errorf("%w: %w", cause, err)
		}
	}
	return r.fault(s.Name, AfterDo)
}

// Undo takes back, in reverse order, every step that the record says was begun.
// It runs to its end also when ctx is cancelled, and halts at the first undo
// that fails: after that nothing more is touched. While the cluster does not
// answer it waits. why is the reason, and the returned *outcome.Error carries it.
func (r *Runner) Undo(ctx context.Context, rec *release.Record, why error) error {
	run := ctx
	ctx = context.WithoutCancel(ctx)
	rec.Undoing, rec.Error, rec.Outcome = true, why.Error(), release.Running
	changed := false
	for i := len(r.Steps) - 1; i >= 0; i-- {
		s := r.Steps[i]
		st := rec.Step(s.Name)
		if st.State == release.Pending || st.State == release.Skipped || st.State == release.Undone {
			changed = changed || st.State == release.Undone
			continue
		}
		changed = changed || s.Undo.kind != reads
		if s.Undo.kind != reverts {
			continue
		}
		err := r.confirm(ctx, run)
		if err == nil {
			err = r.undo(ctx, rec, s, st)
		}
		if r.lost(run, err) {
			return r.overtaken(rec, fmt.Errorf("undo of step %s: %w (it was undone because of: %w)", s.Name, err, why))
		}
		if err != nil {
			return r.halt(ctx, rec, fmt.Errorf("undo of step %s: %w (it was undone because of: %w)", s.Name, err, why))
		}
	}
	return r.undone(ctx, rec, changed, why)
}

// confirm waits until the cluster answers and says that the run still has its
// lock: without an answer nothing is undone.
func (r *Runner) confirm(ctx, run context.Context) error {
	if cause := context.Cause(run); errors.Is(cause, ErrLockLost) {
		return cause
	}
	if r.Lock == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return r.Lock.Confirm(ctx)
}

func (r *Runner) undo(ctx context.Context, rec *release.Record, s Step, st *release.Step) error {
	st.State = release.Undoing
	if err := r.saveDetached(ctx, rec, s.Name); err != nil {
		return err
	}
	r.tell(s.Name, st)
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	if err := r.actBack(ctx, rec, s); err != nil {
		return err
	}
	st.State = release.Undone
	r.tell(s.Name, st)
	return r.saveDetached(ctx, rec, s.Name)
}

// actBack calls the undo behind its fault point.
func (r *Runner) actBack(ctx context.Context, rec *release.Record, s Step) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	if err := r.fault(s.Name, BeforeUndo); err != nil {
		return err
	}
	return s.Undo.fn(ctx, rec)
}

// undone ends a run whose every begun step was taken back.
func (r *Runner) undone(ctx context.Context, rec *release.Record, changed bool, why error) error {
	failure := &outcome.Error{Err: why, Next: "dagger call status --env=" + rec.Release.Env.Name}
	var end release.Outcome
	switch {
	case changed:
		end, failure.Code, failure.Now = release.RolledBack, outcome.RolledBack, serving(rec)
	case outcome.CodeOf(why) == outcome.Refused:
		end, failure.Code = release.Refused, outcome.Refused
	default:
		end, failure.Code = release.Failed, outcome.Failed
	}
	if e, ok := errors.AsType[*outcome.Error](why); ok && e.Next != "" {
		failure.Next = e.Next
	}
	if err := r.finish(ctx, rec, end); err != nil {
		failure.Code, failure.Err = outcome.Halted, fmt.Errorf("%w; and the end could not be kept: %w", why, err)
		failure.Next = "dagger call resume --env=" + rec.Release.Env.Name
	}
	return failure
}

// serving says in one sentence what serves, for a run that was taken back.
func serving(rec *release.Record) string {
	live := rec.ServingRelease()
	if rec.Kind == release.Contract {
		return fmt.Sprintf("the schema is at %d, with the contract migrations %v applied; %s (version %s) serves on %s, as before",
			rec.Schema, rec.Contracted, live.ID, live.Version, rec.Serving)
	}
	if live == nil {
		return "everything was taken back; nothing serves, as before this first release"
	}
	text := fmt.Sprintf("everything was taken back; %s (version %s) serves on %s, as before", live.ID, live.Version, rec.Serving)
	if bad, had := rec.OnBad(); had {
		text += fmt.Sprintf("; version %s had users for %.1f s, and %s", rec.Release.Version, bad.Seconds(), lost(rec.Probe))
	}
	return text
}

// halt ends a run that can neither go on nor back.
func (r *Runner) halt(ctx context.Context, rec *release.Record, why error) error {
	rec.Error = why.Error()
	env := rec.Release.Env.Name
	failure := &outcome.Error{Code: outcome.Halted, Err: why,
		Now: "nothing more was touched; " + stillServing(rec),
		Next: fmt.Sprintf("dagger call status --env=%[1]s\ndagger call resume --env=%[1]s   (tries the undo once more)\n"+
			"dagger call unlock --env=%[1]s --abandon=\"why\"   (when it was put right by hand)", env)}
	if err := r.finish(context.WithoutCancel(ctx), rec, release.Halted); err != nil {
		return errors.Join(failure, err)
	}
	return failure
}

// stillServing says what serves as far as a halted run knows.
func stillServing(rec *release.Record) string {
	live := rec.ServingRelease()
	if live == nil {
		return "as far as known nothing serves"
	}
	return fmt.Sprintf("as far as known %s (version %s) serves on %s", live.ID, live.Version, rec.Serving)
}

// finish keeps the end also of a run that was cancelled.
func (r *Runner) finish(ctx context.Context, rec *release.Record, end release.Outcome) error {
	rec.Outcome, rec.Ended = end, now()
	return r.saveDetached(ctx, rec, "")
}

func (r *Runner) saveDetached(ctx context.Context, rec *release.Record, step string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	return r.save(ctx, rec, step)
}

func (r *Runner) save(ctx context.Context, rec *release.Record, step string) error {
	if err := r.fault(step, BeforeSave); err != nil {
		return err
	}
	if err := r.Store.Save(ctx, rec); err != nil {
		return fmt.Errorf("save the record: %w", err)
	}
	return r.fault(step, AfterSave)
}

func (r *Runner) fault(step string, phase Phase) error {
	if r.Fault == nil {
		return nil
	}
	return r.Fault(Point{step, phase})
}

func (r *Runner) tell(step string, st *release.Step) {
	if r.Notify == nil {
		return
	}
	note := st.Note
	switch st.State {
	case release.Broken:
		note = st.Error
	case release.Undoing: // the note is still the act's
		note = ""
	}
	r.Notify(Event{Step: step, State: st.State, Note: note, Seconds: st.Seconds()})
}

// now returns the current time without its monotonic part, as the record will
// read it back.
func now() *time.Time {
	t := time.Now().UTC().Round(time.Millisecond)
	return &t
}

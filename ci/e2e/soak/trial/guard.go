package trial

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cutover.dev/ci/e2e/stage"
	"cutover.dev/ci/outcome"
	"cutover.dev/ci/release"
)

// leadingBack is how long the guard may take: the Lease has to run out and
// requests have to be lost.
const leadingBack = 2 * time.Minute

// guard kills the deploy of a bad release while it bakes, types nothing, and
// waits until the guard in the cluster has led the users back.
func (w *killing) guard(ctx context.Context) error {
	bad, flag, err := w.badRelease(ctx)
	if err != nil {
		return err
	}
	before, err := w.Record(ctx)
	if err != nil {
		return err
	}
	e := Event{At: time.Now(), Kind: "guard", Version: bad.Name, Command: "resume"}
	p, err := w.Deploy(ctx, bad, flag)
	if err != nil {
		return err
	}
	if err := w.reach(ctx, p, before, "bake"); err != nil {
		p.Kill()
		return w.missed(ctx, &e, err)
	}
	if !p.Kill() {
		return w.missed(ctx, &e, errEnded)
	}
	struck := time.Now()
	e.After = struck.Sub(e.At).Seconds()
	if err := w.look(ctx, &e, before); err != nil {
		return err
	}
	back, cancel := context.WithTimeout(ctx, leadingBack)
	defer cancel()
	if err := w.AwaitSelected(back, before.Serving); err != nil {
		e.Wrong = append(e.Wrong, fmt.Sprintf("the guard did not lead back: %s", err))
	}
	e.Back = time.Since(struck).Seconds()
	if err := w.carryOn(ctx, &e, struck); err != nil {
		return err
	}
	w.count(e)
	return w.settle(ctx, &e, func(rec *release.Record) error { return errors.Join(guarded(e, rec), w.sortOut(ctx, &e, rec)) })
}

// missed files a deploy that ended before it could be struck.
func (w *killing) missed(ctx context.Context, e *Event, err error) error {
	if !errors.Is(err, errEnded) {
		return err
	}
	e.Wrong = append(e.Wrong, err.Error())
	return w.settle(ctx, e, nil)
}

// sortOut counts what the bad release itself answered wrongly. Its last pod is
// gone: until then kept connections led to it.
func (w *killing) sortOut(ctx context.Context, e *Event, rec *release.Record) error {
	gone := time.Now()
	if err := w.load.Past(ctx, gone); err != nil {
		return err
	}
	if switched := rec.Step("switch").Started; switched != nil {
		e.Bad = badAnswers(w.load.Seconds(), *switched, gone)
	}
	return nil
}

// badRelease returns a release that answers some requests with errors, and the
// flag for a deploy that watches it for so long, and bears so much, that it does
// not see before the kill what the guard shall see after it.
func (w *killing) badRelease(ctx context.Context) (stage.Version, string, error) {
	flag, err := w.Variant("guarded",
		stage.Edit{From: "  drain: true", To: "  drain: false"}, // it would not get that far
		stage.Edit{From: "  for: 5s", To: "  for: 60s"},
		stage.Edit{From: "  # tolerate: 1 ", To: "  tolerate: 10 "})
	if err != nil {
		return stage.Version{}, "", err
	}
	bad, err := w.version(ctx, "c", "FAULT=errors")
	return bad, flag, err
}

// reach waits until the deploy has begun the step.
func (w *killing) reach(ctx context.Context, p *stage.Process, before *release.Record, step string) error {
	running, cancel := during(ctx, p)
	defer cancel()
	err := w.AwaitRecord(running, func(rec *release.Record) bool {
		return rec.Number > before.Number && rec.Step(step).State != release.Pending
	})
	if errors.Is(context.Cause(running), errEnded) {
		call, _ := p.Wait()
		return fmt.Errorf("%w it came to %s, with %d: %s", errEnded, step, call.Code, lastWords(call))
	}
	return err
}

// guarded says whether the record tells what the guard did.
func guarded(e Event, rec *release.Record) error {
	g := rec.Guard
	switch {
	case e.Code != int(outcome.RolledBack) || rec.Outcome != release.RolledBack:
		return fmt.Errorf("resume ended with %d and the record says %q: it should be rolled back", e.Code, rec.Outcome)
	case g == nil:
		return errors.New("the record does not tell what the guard did")
	case g.Run != rec.Run || g.State != release.GuardSwitchedBack || g.Evidence == "":
		return fmt.Errorf("the guard's report is not that it switched back: %+v", *g)
	}
	return nil
}

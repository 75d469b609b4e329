package rollout

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"cutover.dev/ci/config"
	"cutover.dev/ci/outcome"
	"cutover.dev/ci/plan"
	"cutover.dev/ci/release"
)

// Deploy takes the release to the cluster and returns the run's record, nil when
// it was refused before a run began. The error, if any, says how it ended.
func (d *Deployer) Deploy(ctx context.Context) (*release.Record, error) {
	run := rand.Text()[:10]
	ctx, unlock, err := d.Locker.Lock(ctx, fmt.Sprintf("%s run %s", d.By, run))
	if err != nil {
		return nil, err
	}
	defer unlock()
	// An undo needs to watch also after the run was cancelled.
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	if err := d.Cluster.Watch(watching); err != nil {
		return nil, outcome.Failf(d.again(), "%w", err)
	}
	if err := d.recover(ctx); err != nil {
		return nil, err
	}
	p, err := d.plan(ctx)
	if err != nil {
		return nil, err
	}
	rec := d.record(run, p)
	if p.Action == plan.Nothing {
		return rec, d.keepUnchanged(ctx, rec)
	}
	if err := d.Store.Begin(ctx, rec); err != nil {
		return nil, outcome.Failf(d.again(), "begin the record of this run: %w", err)
	}
	return rec, d.runner().Run(ctx, rec)
}

func (d *Deployer) runner() *Runner {
	return &Runner{Steps: d.Steps(), Store: d.Store, Notify: d.Notify}
}

// recover takes back what a killed or halted run left, from its record. A run
// whose final step had begun is finished instead.
func (d *Deployer) recover(ctx context.Context) error {
	rec, err := d.Store.Load(ctx)
	if err != nil || rec == nil || rec.Outcome.Finished() {
		return err
	}
	d.tell(Event{State: release.Undoing, Note: fmt.Sprintf("run %s did not finish (%s): it is undone first", rec.Run, rec.Outcome)})
	undo := &Deployer{Input: plan.Input{Env: rec.Release.Env}, Cluster: d.Cluster, Agent: d.Agent, Store: d.Store, Notify: d.Notify}
	runner := undo.runner()
	if last := runner.Steps[len(runner.Steps)-1]; last.Undo.kind == finals && rec.Step(last.Name).State != release.Pending {
		return runner.Run(ctx, rec) // there is no way back any more, only forward
	}
	err = runner.Undo(ctx, rec, fmt.Errorf("run %s was interrupted", rec.Run))
	if outcome.CodeOf(err) == outcome.Halted || errors.Is(err, ErrConflict) {
		return err
	}
	return nil // undone, which is what was wanted
}

// plan observes and decides; findings are a refusal.
func (d *Deployer) plan(ctx context.Context) (plan.Plan, error) {
	seen, err := d.Cluster.Observe(ctx)
	if err != nil {
		return plan.Plan{}, outcome.Failf(d.again(), "%w", err)
	}
	p := plan.Make(d.Input, seen)
	return p, Refusal(p)
}

// Refusal returns the plan's findings as one error, nil if there are none.
func Refusal(p plan.Plan) error {
	if len(p.Findings) == 0 {
		return nil
	}
	what, next := "", ""
	for i, f := range p.Findings {
		if i > 0 {
			what, next = what+"\n", next+"\n"
		}
		what, next = what+f.What, next+f.Next
	}
	return outcome.Refusef(next, "%s", what)
}

func (d *Deployer) record(run string, p plan.Plan) *release.Record {
	rec := &release.Record{
		Format: release.FormatVersion, Run: run, Label: d.Label, By: d.By,
		Namespace: p.Namespace, Plan: p.Hash,
		Release: p.Release, Colour: p.Colour, Replicas: p.Replicas,
		Previous: p.Previous, PreviousColour: p.PreviousColour,
		Outcome: release.Running, Serving: p.PreviousColour, Started: *now(),
	}
	for _, s := range d.Steps() {
		rec.Steps = append(rec.Steps, release.Step{Name: s.Name, State: release.Pending})
	}
	return rec
}

// keepUnchanged files a run that had nothing to do: the release that serves is
// still the one that served.
func (d *Deployer) keepUnchanged(ctx context.Context, rec *release.Record) error {
	rec.Release, rec.Outcome, rec.Ended = *rec.Previous, release.Unchanged, now()
	for i := range rec.Steps {
		rec.Steps[i].State = release.Skipped
	}
	if err := d.Store.Begin(ctx, rec); err != nil {
		return outcome.Failf(d.again(), "keep the record of this run: %w", err)
	}
	return nil
}

func (d *Deployer) tell(e Event) {
	if d.Notify != nil {
		d.Notify(e)
	}
}

// again is the hint after a failure that changed nothing.
func (d *Deployer) again() string { return "the same command again" }

// note writes what a step found into its record.
func note(rec *release.Record, step, format string, args ...any) {
	rec.Step(step).Note = fmt.Sprintf(format, args...)
}

func migrateTimeout(env config.Env) time.Duration {
	if env.Migrations == nil {
		return time.Minute
	}
	return env.Migrations.Timeout + 2*time.Minute // the Job's own deadline comes first
}

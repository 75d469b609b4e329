package rollout

import (
	"context"
	"crypto/rand"
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
	lock, err := d.start(ctx, run)
	if err != nil {
		return nil, err
	}
	defer lock.Unlock()
	ctx = lock.Context()
	if err := d.recover(ctx, lock); err != nil {
		return nil, err
	}
	p, err := d.Plan(ctx)
	if err == nil {
		err = Refusal(p)
	}
	if err != nil {
		return nil, err
	}
	rec := d.record(run, p)
	if p.Action == plan.Nothing {
		return rec, d.keepUnchanged(ctx, rec)
	}
	if err := d.Store.Begin(ctx, rec); err != nil {
		return nil, outcome.Failf(again, "begin the record of this run: %w", err)
	}
	return rec, d.runner(lock).Run(ctx, rec)
}

// start takes the lock and begins to watch.
func (d *Deployer) start(ctx context.Context, run string) (Lock, error) {
	lock, err := d.Locker.Lock(ctx, release.Holder(d.By, run))
	if err != nil {
		return nil, err
	}
	// An undo needs to watch also after the run was cancelled; it ends with the
	// caller's process.
	if err := d.Cluster.Watch(context.WithoutCancel(ctx)); err != nil {
		lock.Unlock()
		return nil, outcome.Fail(again, err)
	}
	return lock, nil
}

func (d *Deployer) runner(lock Lock) *Runner {
	r := &Runner{Steps: d.Steps(), Store: d.Store, Lock: lock, Notify: d.Notify}
	if d.hook != nil {
		d.hook(r)
	}
	return r
}

// Plan observes and decides. Where there is something to do, it also looks for what
// could stop it on its way. But for a pod that lives for some seconds it changes
// nothing.
func (d *Deployer) Plan(ctx context.Context) (plan.Plan, error) {
	seen, err := d.Cluster.Observe(ctx)
	if err != nil {
		return plan.Plan{}, outcome.Fail(again, err)
	}
	p := plan.Make(d.Input, seen)
	if p.Action == plan.Nothing || !seen.NamespaceExists {
		return p, nil
	}
	if seen.Inspected, err = d.Cluster.Inspect(ctx); err != nil {
		return plan.Plan{}, outcome.Fail(again, err)
	}
	if p = plan.Make(d.Input, seen); seen.Refused() || !d.wantsCheck(p) {
		return p, nil
	}
	d.tell(Event{Note: "a short-lived pod looks at what only a pod can tell: the database, and whether the image can be pulled"})
	if seen.Checked, err = d.Cluster.Check(ctx, p.Release, d.Input); err != nil {
		return plan.Plan{}, outcome.Fail(again, err)
	}
	// What has run is beyond help.
	if d.Lint != nil && seen.Database != nil && len(seen.Database.Pending) > 0 {
		if seen.Linted, err = d.Lint(seen.Database.Pending); err != nil {
			return plan.Plan{}, outcome.Fail(again, err)
		}
	}
	return plan.Make(d.Input, seen), nil
}

// wantsCheck reports whether a pod is to look before a run. Without a database a
// deploy spends none on it: that an image cannot be pulled, its first pod tells as
// soon. A rollback touches no database and is in a hurry.
func (d *Deployer) wantsCheck(p plan.Plan) bool {
	return p.Kind == release.Deploy && (d.Preview || d.Input.Env.Migrations != nil)
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
		Kind: p.Kind, Namespace: p.Namespace, Plan: p.Hash, Reasons: d.Input.Reasons(),
		Release: p.Release, Colour: p.Colour, Replicas: p.Replicas,
		Previous: p.Previous, PreviousColour: p.PreviousColour,
		Schema: p.Schema, Contracted: p.Contracted,
		Outcome: release.Running, Serving: p.PreviousColour, Started: *now(),
	}
	if p.Migrations != nil {
		rec.Pending, rec.Release.Schema = p.Migrations.Pending, p.Migrations.Version
		rec.Remember = p.Migrations.Unwritten || d.Input.AcceptDrift != ""
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
		return outcome.Failf(again, "keep the record of this run: %w", err)
	}
	return nil
}

func (d *Deployer) tell(e Event) {
	if d.Notify != nil {
		d.Notify(e)
	}
}

// again is the hint after a failure that changed nothing.
const again = "the same command again"

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

package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"cutover.dev/ci/outcome"
	"cutover.dev/ci/plan"
	"cutover.dev/ci/release"
)

// Resume goes on with the run that was interrupted, from its record: forward
// from its first unfinished step, or backward if it was on its way back.
// d.Input needs the environment, and the secrets when the run was interrupted
// before it had made its own. It returns the run's record.
func (d *Deployer) Resume(ctx context.Context) (*release.Record, error) {
	return d.carryOn(ctx, func(ctx context.Context, r *Runner, rec *release.Record) error {
		if err := d.as(rec).join(ctx, rec); err != nil {
			return outcome.Fail(again, err)
		}
		return r.Resume(ctx, rec)
	})
}

// TakeBack undoes the run that was interrupted or halted, from its record, so
// that what served before serves. Once its last step has begun it is finished
// instead.
func (d *Deployer) TakeBack(ctx context.Context) (*release.Record, error) {
	return d.carryOn(ctx, d.takeBack)
}

// carryOn takes the lock and hands over the unfinished run.
func (d *Deployer) carryOn(ctx context.Context, on func(context.Context, *Runner, *release.Record) error) (*release.Record, error) {
	nothing := outcome.Refusef("dagger call status --env="+d.Input.Env.Name, "no run of %s is unfinished: there is nothing to go on with", d.Input.Env.App)
	rec, err := d.unfinished(ctx)
	if err != nil {
		return nil, err
	}
	if rec == nil {
		return nil, nothing
	}
	lock, err := d.start(ctx, rec.Run) // its agent knows the run, whoever carries it on
	if err != nil {
		return nil, err
	}
	defer lock.Unlock()
	ctx = lock.Context()
	if rec, err = d.unfinished(ctx); err != nil { // it may have ended meanwhile
		return nil, err
	}
	if rec == nil {
		return nil, nothing
	}
	return rec, on(ctx, d.as(rec).runner(lock), rec)
}

// recover takes back what a killed or halted run left, before a new one begins.
func (d *Deployer) recover(ctx context.Context, lock Lock) error {
	rec, err := d.unfinished(ctx)
	if err != nil || rec == nil {
		return err
	}
	d.tell(Event{State: release.Undoing, Note: fmt.Sprintf("run %s did not finish (%s): it is settled first", rec.Run, rec.Outcome)})
	err = d.takeBack(ctx, d.as(rec).runner(lock), rec)
	if outcome.CodeOf(err) == outcome.Halted {
		return err
	}
	return nil // undone, or finished: which is what was wanted
}

// join follows the agent of a run that another process began, or starts it anew if
// it has ended: this process has seen nothing of it yet.
func (d *Deployer) join(ctx context.Context, rec *release.Record) error {
	if rec.Kind == release.Contract { // it has no agent
		return nil
	}
	if rec.Step("raise").State != release.Done || rec.Step("retire").State == release.Done {
		return nil // raise starts it, retire has ended it
	}
	return d.Agent.StartAgent(ctx, rec, d.agentLifetime())
}

func (d *Deployer) takeBack(ctx context.Context, r *Runner, rec *release.Record) error {
	_ = d.as(rec).join(ctx, rec) // what cannot be looked at is no reason to stay
	if r.Final(rec) && !rec.Undoing {
		return r.Run(ctx, rec) // there is no way back any more, only forward
	}
	return r.Undo(ctx, rec, errors.New(cmp.Or(rec.Error, fmt.Sprintf("run %s was interrupted", rec.Run))))
}

// unfinished returns the record of the run that has not finished, with what was
// done since by the agent or a person; nil when there is none.
func (d *Deployer) unfinished(ctx context.Context) (*release.Record, error) {
	rec, err := d.Store.Load(ctx)
	if err != nil || rec == nil || rec.Finished() {
		return nil, outcome.Fail(again, err)
	}
	if err := d.as(rec).knows(rec); err != nil {
		return nil, err
	}
	if rec.Guard, err = d.Agent.Guarded(ctx, rec.Run); err != nil {
		return nil, outcome.Fail(again, err)
	}
	seen, err := d.Cluster.Observe(ctx)
	if err != nil {
		return nil, outcome.Fail(again, err)
	}
	if rec.Serving == rec.Colour && !rec.First() && seen.LiveColour() == rec.PreviousColour {
		rec.Serving, rec.Undoing = rec.PreviousColour, true
		rec.Error = fmt.Sprintf("the live Service was led back to %s (its selector was written by %s)", rec.PreviousColour, strings.Join(seen.ServiceWriters, ", "))
	}
	if rec.Guard != nil {
		rec.Undoing, rec.Error = true, "nobody was at work, and the agent judged: "+rec.Guard.Evidence
	}
	return rec, nil
}

// as returns the deployer of a run that another process began: its steps follow
// from that run's configuration.
func (d *Deployer) as(rec *release.Record) *Deployer {
	return &Deployer{Input: plan.Input{Env: rec.Release.Env, Secrets: d.Input.Secrets}, Cluster: d.Cluster, Agent: d.Agent, Store: d.Store, Locker: d.Locker, Notify: d.Notify, contracting: rec.Contracting, hook: d.hook}
}

// knows refuses a run of other steps than these.
func (d *Deployer) knows(rec *release.Record) error {
	steps := d.Steps()
	same := len(steps) == len(rec.Steps)
	for i := 0; same && i < len(steps); i++ {
		same = steps[i].Name == rec.Steps[i].Name
	}
	if same {
		return nil
	}
	return outcome.Refusef("the cutover version that began it, with `resume` or `rollback`",
		"run %s was begun by another version of cutover, whose steps are not these; it must be ended by that version", rec.Run)
}

package rollout

import (
	"context"
	"fmt"

	"cutover.dev/ci/outcome"
	"cutover.dev/ci/release"
)

// Unlock gives a run up that has not finished, for the reason given, so that
// another can begin; or it takes note that a person led the live Service to the
// other colour. What the Service leads to then counts as what serves. It refuses
// while somebody is at work, and without a reason.
func (d *Deployer) Unlock(ctx context.Context, why string) (*release.Record, error) {
	env := d.Input.Env.Name
	lock, err := d.Locker.Lock(ctx, release.Holder(d.By, "unlock"))
	if err != nil {
		return nil, outcome.Fail(again, err)
	}
	defer lock.Unlock()
	seen, err := d.Cluster.Observe(ctx)
	if err != nil {
		return nil, outcome.Fail(again, err)
	}
	rec, live := seen.Record, seen.LiveColour()
	switch {
	case rec == nil || !seen.Unfinished() && live == rec.Serving:
		return nil, outcome.Refusef("dagger call status --env="+env, "nothing is locked: nobody is at work, and the last run of %s has finished", d.Input.Env.App)
	case why == "":
		return nil, outcome.Refusef("dagger call resume --env="+env+"   (goes on with it)\ndagger call rollback --env="+env+"   (takes it back)\n"+
			"dagger call unlock --env="+env+" --abandon=\"why\"   (when it was put right by hand)",
			"run %s is not settled (%s; by its record %s serves, the Service leads to %s); giving it up leaves everything as it is and needs a reason",
			rec.Run, rec.Outcome, rec.Serving, live)
	case seen.Service != nil && live == release.None:
		return nil, outcome.Refusef(fmt.Sprintf("kubectl --namespace=%s get service %s --output=yaml   (let it lead to one colour first)", rec.Namespace, d.Input.Env.App),
			"the Service leads to no colour of its own: what serves cannot be told")
	}
	if rec, err = d.Store.Load(ctx); err != nil { // fences the write
		return nil, outcome.Fail(again, err)
	}
	if err := d.serving(ctx, rec, live, seen.Releases[live]); err != nil {
		return nil, outcome.Fail(again, err)
	}
	return rec, d.abandon(ctx, rec, why)
}

// serving notes what serves, by what runs there: the last run may know nothing of
// it.
func (d *Deployer) serving(ctx context.Context, rec *release.Record, live release.Colour, id string) error {
	rec.Serving = live
	if r := rec.ServingRelease(); live == release.None || r != nil && r.ID == id {
		return nil
	}
	made, err := d.Store.Find(ctx, id)
	if err != nil {
		return err
	}
	if made == nil {
		return outcome.Refusef("dagger call history --env="+d.Input.Env.Name, "the Service leads to %s, where release %s runs, of which no record is kept", live, id)
	}
	rec.Previous, rec.PreviousColour, rec.Colour = &made.Release, live, live.Other()
	return nil
}

func (d *Deployer) abandon(ctx context.Context, rec *release.Record, why string) error {
	if !rec.Finished() {
		rec.Outcome, rec.Ended = release.Abandoned, now()
	}
	if rec.Reasons == nil {
		rec.Reasons = map[string]string{}
	}
	rec.Reasons["abandon"] = why
	return outcome.Fail(again, d.Store.Save(ctx, rec))
}

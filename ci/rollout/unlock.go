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
	return rec, d.abandon(ctx, rec, live, why)
}

func (d *Deployer) abandon(ctx context.Context, rec *release.Record, live release.Colour, why string) error {
	if !rec.Finished() {
		rec.Outcome, rec.Ended = release.Abandoned, now()
	}
	rec.Serving = live
	if rec.Reasons == nil {
		rec.Reasons = map[string]string{}
	}
	rec.Reasons["abandon"] = why
	if _, err := d.Store.Load(ctx); err != nil { // fences the write
		return outcome.Fail(again, err)
	}
	return outcome.Fail(again, d.Store.Save(ctx, rec))
}

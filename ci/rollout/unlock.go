package rollout

import (
	"context"

	"cutover.dev/ci/outcome"
	"cutover.dev/ci/release"
)

// Unlock gives a run up that has not finished, for the reason given, so that
// another can begin. What the live Service leads to then counts as what serves.
// It refuses while somebody is at work, and without a reason.
func (d *Deployer) Unlock(ctx context.Context, why string) (*release.Record, error) {
	env := d.Input.Env.Name
	lock, err := d.Locker.Lock(ctx, release.Holder(d.By, "unlock"))
	if err != nil {
		return nil, err
	}
	defer lock.Unlock()
	seen, err := d.Cluster.Observe(ctx)
	if err != nil {
		return nil, outcome.Failf(again, "%w", err)
	}
	if !seen.Unfinished() {
		return nil, outcome.Refusef("dagger call status --env="+env, "nothing is locked: nobody is at work, and the last run of %s has finished", d.Input.Env.App)
	}
	rec, err := d.Store.Load(ctx)
	if err != nil {
		return nil, outcome.Failf(again, "%w", err)
	}
	if why == "" {
		return nil, outcome.Refusef("dagger call resume --env="+env+"   (goes on with it)\ndagger call rollback --env="+env+"   (takes it back)\n"+
			"dagger call unlock --env="+env+" --abandon=\"why\"   (when it was put right by hand)",
			"run %s has not finished (%s); giving it up leaves everything as it is and needs a reason", rec.Run, rec.Outcome)
	}
	rec.Outcome, rec.Ended, rec.Serving = release.Abandoned, now(), seen.LiveColour()
	if rec.Reasons == nil {
		rec.Reasons = map[string]string{}
	}
	rec.Reasons["abandon"] = why
	if err := d.Store.Save(ctx, rec); err != nil {
		return nil, outcome.Failf(again, "%w", err)
	}
	return rec, nil
}

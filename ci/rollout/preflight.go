package rollout

import (
	"context"

	"cutover.dev/ci/outcome"
	"cutover.dev/ci/release"
)

// preflight looks once more, now that the run holds the lock and its record is
// kept: what the plan saw must still be so.
func (d *Deployer) preflight(ctx context.Context, rec *release.Record) error {
	seen, err := d.Cluster.Observe(ctx)
	if err != nil {
		return err
	}
	if live := seen.LiveColour(); live != rec.PreviousColour {
		return outcome.Refusef("dagger call plan --env="+rec.Release.Env.Name,
			"the live Service leads to %s, but the plan saw %s", live, rec.PreviousColour)
	}
	if rec.First() {
		note(rec, "preflight", "nothing serves yet: first release")
		return nil
	}
	note(rec, "preflight", "%s serves: %s, version %s, %d of %d pods ready", rec.PreviousColour, rec.Previous.ID, rec.Previous.Version,
		seen.Ready[rec.PreviousColour], seen.Size[rec.PreviousColour])
	remedy := rec.Kind == release.Rollback || rec.Reasons[release.LiveIsBroken] != ""
	if seen.Ready[rec.PreviousColour] == 0 && !remedy {
		return outcome.Refusef("dagger call plan --env="+rec.Release.Env.Name, "no pod of %s, which serves, is ready", rec.PreviousColour)
	}
	rec.Pinned, err = d.Cluster.Least(ctx, rec.PreviousColour)
	return err
}

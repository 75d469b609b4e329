package rollout

import (
	"context"
	"time"

	"cutover.dev/ci/release"
)

// raise brings the release up on the idle colour, which no user reaches, and
// the agent beside it.
func (d *Deployer) raise(ctx context.Context, rec *release.Record) error {
	if err := d.Cluster.ApplyPreview(ctx, rec); err != nil {
		return err
	}
	if err := d.Agent.StartAgent(ctx, rec, d.agentLifetime()); err != nil {
		return err
	}
	if err := d.Cluster.ApplyColour(ctx, rec); err != nil {
		return err
	}
	if err := d.Cluster.WaitReady(ctx, rec); err != nil {
		return err
	}
	note(rec, "raise", "%d pods of %s ready", rec.Replicas, rec.Colour)
	return nil
}

// agentLifetime outlasts every step that needs the agent, undo included, so that
// it ends by itself only when the run is gone.
func (d *Deployer) agentLifetime() time.Duration {
	var total time.Duration
	for _, s := range d.Steps() {
		total += 2 * s.Timeout
	}
	return total
}

// lower takes back raise: the idle colour goes, with all that belonged to the
// release alone. After a first release nothing of it stays.
func (d *Deployer) lower(ctx context.Context, rec *release.Record) error {
	if err := d.Agent.StopAgent(ctx); err != nil {
		return err
	}
	if err := d.Cluster.DeletePreview(ctx); err != nil {
		return err
	}
	if rec.First() {
		if err := d.Cluster.DeleteColour(ctx, rec.Colour); err != nil {
			return err
		}
	} else if err := d.Cluster.Scale(ctx, rec.Colour, 0); err != nil {
		return err
	}
	if err := d.Cluster.DeleteRelease(ctx, rec.Release.ID); err != nil {
		return err
	}
	note(rec, "raise", "%s lowered; users never reached it", rec.Colour)
	return nil
}

package rollout

import (
	"context"

	"cutover.dev/ci/release"
)

// switchOver lets the live Service lead to the new colour. It is done when the
// data plane agrees: only pods of the new colour behind the Service, and fresh
// connections in a row answered by it.
func (d *Deployer) switchOver(ctx context.Context, rec *release.Record) error {
	if err := d.Cluster.WaitReady(ctx, rec); err != nil {
		return err
	}
	if err := d.Cluster.Select(ctx, rec, rec.PreviousColour, rec.Colour); err != nil {
		return err
	}
	rec.Serving = rec.Colour
	if err := d.leads(ctx, rec, rec.Release, rec.Colour); err != nil {
		return err
	}
	note(rec, "switch", "%s -> %s", rec.PreviousColour, rec.Colour)
	return nil
}

// switchBack lets the live Service lead to the previous colour again, with the
// same care; after a first release there is none, and the Service goes.
func (d *Deployer) switchBack(ctx context.Context, rec *release.Record) error {
	if err := d.Cluster.Select(ctx, rec, rec.Colour, rec.PreviousColour); err != nil {
		return err
	}
	rec.Serving = rec.PreviousColour
	note(rec, "switch", "back to %s", rec.PreviousColour)
	if rec.First() {
		return nil
	}
	return d.leads(ctx, rec, *rec.Previous, rec.PreviousColour)
}

// leads waits until the live Service leads to the colour and nowhere else.
func (d *Deployer) leads(ctx context.Context, rec *release.Record, r release.Release, colour release.Colour) error {
	if err := d.Cluster.WaitEndpoints(ctx, colour, 1); err != nil {
		return err
	}
	if err := d.Agent.StartAgent(ctx, rec, d.agentLifetime()); err != nil {
		return err
	}
	_, err := d.Agent.WaitAnswers(ctx, liveTarget, r, rec.Release.Env.Verify.Answers)
	return err
}

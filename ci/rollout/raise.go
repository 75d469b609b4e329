package rollout

import (
	"context"
	"fmt"
	"strings"
	"time"

	"cutover.dev/ci/release"
)

// raise brings the release up on the idle colour, which no user reaches, and
// the agent beside it. From here to the end of bake neither colour may become
// smaller than what serves now.
func (d *Deployer) raise(ctx context.Context, rec *release.Record) error {
	if err := d.pin(ctx, rec); err != nil {
		return err
	}
	if err := d.Cluster.ApplyColour(ctx, rec); err != nil {
		return err
	}
	if err := d.ask(ctx, rec); err != nil {
		return err
	}
	// What verify needs is made while the pods start.
	if err := d.Cluster.ApplyPreview(ctx, rec); err != nil {
		return err
	}
	if err := d.Agent.StartAgent(ctx, rec, d.agentLifetime()); err != nil {
		return err
	}
	if err := d.Cluster.WaitReady(ctx, rec.Release, rec.Colour, d.raised(rec)); err != nil {
		return err
	}
	note(rec, "raise", "%d pods of %s ready", d.raised(rec), rec.Colour)
	return nil
}

// raised is the size to raise to: where a pod is to be ended in verify, one more
// than is needed.
func (d *Deployer) raised(rec *release.Record) int {
	if rec.Release.Env.Verify.Drain {
		return rec.Replicas + 1
	}
	return rec.Replicas
}

// ask lets the new colour grow to the size to raise to.
func (d *Deployer) ask(ctx context.Context, rec *release.Record) error {
	size := d.raised(rec)
	if err := d.Cluster.Scale(ctx, rec.Colour, size); err != nil {
		return err
	}
	return d.Cluster.SetLeast(ctx, rec.Release, rec.Colour, size)
}

// pin keeps the autoscaler of the colour that serves from making it smaller: a
// rollback has to find it as large as the traffic needs.
func (d *Deployer) pin(ctx context.Context, rec *release.Record) error {
	if rec.Pinned == 0 {
		return nil
	}
	return d.Cluster.SetLeast(ctx, *rec.Previous, rec.PreviousColour, max(rec.Pinned, rec.Replicas))
}

// unpin gives the previous colour's autoscaler its own minimum back.
func (d *Deployer) unpin(ctx context.Context, rec *release.Record) error {
	if rec.Pinned == 0 {
		return nil
	}
	return d.Cluster.SetLeast(ctx, *rec.Previous, rec.PreviousColour, rec.Pinned)
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

// lower takes back raise: the idle colour goes, and after a first release nothing
// of it stays.
func (d *Deployer) lower(ctx context.Context, rec *release.Record) error {
	if err := d.leadsElsewhere(ctx, rec); err != nil {
		return err
	}
	d.keepSeries(ctx, rec)
	if err := d.endSmoke(ctx, rec); err != nil {
		return err
	}
	if err := d.Agent.StopAgent(ctx); err != nil {
		return err
	}
	if err := d.Cluster.DeletePreview(ctx); err != nil {
		return err
	}
	if err := d.unpin(ctx, rec); err != nil {
		return err
	}
	if rec.First() {
		if err := d.Cluster.DeleteColour(ctx, rec.Colour); err != nil {
			return err
		}
	} else if err := d.Cluster.Park(ctx, rec.Colour); err != nil {
		return err
	}
	note(rec, "raise", "%s lowered", rec.Colour)
	return nil
}

// leadsElsewhere makes sure that the live Service does not lead to the colour
// that is to be lowered, be it by whose hand.
func (d *Deployer) leadsElsewhere(ctx context.Context, rec *release.Record) error {
	seen, err := d.Cluster.Observe(ctx)
	if err != nil {
		return err
	}
	if live := seen.LiveColour(); seen.Service == nil || live != release.None && live != rec.Colour {
		return nil
	}
	return fmt.Errorf("the live Service selects %v (written by %s): the pods of %s may serve and stay",
		seen.Service, strings.Join(seen.ServiceWriters, ", "), rec.Colour)
}

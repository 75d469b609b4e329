package rollout

import (
	"context"
	"time"

	"cutover.dev/ci/probe"
	"cutover.dev/ci/release"
)

// switchOver lets the live Service lead to the new colour. It is done when the
// data plane agrees: only pods of the new colour behind the Service, and fresh
// connections in a row answered by it.
func (d *Deployer) switchOver(ctx context.Context, rec *release.Record) error {
	if err := d.match(ctx, rec); err != nil {
		return err
	}
	if err := d.begin(ctx, rec); err != nil {
		return err
	}
	if err := d.overlap(ctx, rec); err != nil {
		return err
	}
	if err := d.Cluster.Select(ctx, rec, rec.Colour, rec.PreviousColour, release.Both); err != nil {
		return err
	}
	rec.Serving = rec.Colour
	if err := d.Store.Save(ctx, rec); err != nil { // from here on, another selector is somebody's decision
		return err
	}
	if err := d.leads(ctx, rec, rec.Release, rec.Colour); err != nil {
		return err
	}
	note(rec, "switch", "%s -> %s", rec.PreviousColour, rec.Colour)
	return d.match(ctx, rec) // what serves may have grown in the very last moment
}

// match makes the new colour as large as the one that serves, which may have
// grown since the run began, and waits until it is ready.
func (d *Deployer) match(ctx context.Context, rec *release.Record) error {
	for !rec.First() {
		size, err := d.Cluster.Size(ctx, rec.PreviousColour)
		if err != nil {
			return err
		}
		if size <= rec.Replicas {
			break
		}
		rec.Replicas = size
		if err := d.Cluster.SetLeast(ctx, rec.Release, rec.Colour, size); err != nil {
			return err
		}
		if err := d.Cluster.Scale(ctx, rec.Colour, size); err != nil {
			return err
		}
		if err := d.Cluster.WaitReady(ctx, rec.Release, rec.Colour, size); err != nil {
			return err
		}
	}
	return d.Cluster.WaitReady(ctx, rec.Release, rec.Colour, rec.Replicas)
}

// begin notes the moment from which on the prober's failures count. It is saved
// before the first write, so that a run which is killed behind it still judges
// all of it.
func (d *Deployer) begin(ctx context.Context, rec *release.Record) error {
	if rec.Switched != nil {
		return nil
	}
	at, err := d.Agent.Clock(ctx)
	if err != nil {
		return err
	}
	rec.Switched = &at
	if rec.Reasons[release.LiveIsBroken] != "" {
		rec.Baseline = new(probe.Count)
		for _, s := range d.Agent.Series(liveTarget) {
			rec.Baseline.OK, rec.Baseline.Failed = rec.Baseline.OK+s.OK, rec.Baseline.Failed+s.Failed
		}
	}
	return d.Store.Save(ctx, rec)
}

// overlap lets the Service lead to both colours for a while, where something
// learns of new pods late.
func (d *Deployer) overlap(ctx context.Context, rec *release.Record) error {
	lasts := rec.Release.Env.Switch.Overlap
	if lasts == 0 || rec.First() {
		return nil
	}
	// A run that was killed behind the switch and goes on overlaps once more.
	if err := d.Cluster.Select(ctx, rec, release.Both, rec.PreviousColour, rec.Colour); err != nil {
		return err
	}
	timer := time.NewTimer(lasts)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// switchBack lets the live Service lead to the previous colour again, with the
// same care; after a first release there is none, and the Service goes.
func (d *Deployer) switchBack(ctx context.Context, rec *release.Record) error {
	if err := d.grow(ctx, rec); err != nil {
		return err
	}
	if err := d.Cluster.Select(ctx, rec, rec.PreviousColour, rec.Colour, release.Both); err != nil {
		return err
	}
	rec.Serving = rec.PreviousColour
	note(rec, "switch", "back to %s", rec.PreviousColour)
	if rec.First() {
		return nil
	}
	if rec.Reasons[release.LiveIsBroken] != "" { // it cannot be asked to answer
		return d.account(ctx, rec)
	}
	if err := d.leads(ctx, rec, *rec.Previous, rec.PreviousColour); err != nil {
		return err
	}
	return d.account(ctx, rec)
}

// account notes how long the new version had users, and what became of their
// requests.
func (d *Deployer) account(ctx context.Context, rec *release.Record) error {
	if rec.Switched == nil || rec.SwitchedBack != nil {
		return nil
	}
	at, err := d.Agent.Clock(ctx)
	if err != nil {
		return err
	}
	if g := rec.Guard; g != nil && g.State == release.GuardSwitchedBack {
		at = g.At
	}
	seen := probe.Tally{From: *rec.Switched}
	for _, s := range d.Agent.Series(liveTarget) {
		seen.Add(s)
	}
	rec.SwitchedBack, rec.Probe = &at, &seen
	return nil
}

// growing bounds how long a switch back waits for pods that it asked for. The
// version that serves is bad: a little later, fewer pods that work are better.
const growing = 30 * time.Second

// grow makes the previous colour as large as the new one has become.
func (d *Deployer) grow(ctx context.Context, rec *release.Record) error {
	if rec.First() {
		return nil
	}
	needed, err := d.Cluster.Size(ctx, rec.Colour)
	if err != nil {
		return err
	}
	size, err := d.Cluster.Size(ctx, rec.PreviousColour)
	if err != nil || size >= needed {
		return err
	}
	if rec.Pinned > 0 {
		if err := d.Cluster.SetLeast(ctx, *rec.Previous, rec.PreviousColour, needed); err != nil {
			return err
		}
	}
	if err := d.Cluster.Scale(ctx, rec.PreviousColour, needed); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, growing)
	defer cancel()
	if err := d.Cluster.WaitReady(ctx, *rec.Previous, rec.PreviousColour, needed); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
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

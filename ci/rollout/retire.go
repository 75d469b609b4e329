package rollout

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"cutover.dev/ci/probe"
	"cutover.dev/ci/release"
)

// retire takes the old colour down to no pods. Its Deployment stays, and the
// release's ConfigMap and Secret, so that it can be raised again. The prober goes
// on until the last pod has ended: that is when kept-alive connections break.
func (d *Deployer) retire(ctx context.Context, rec *release.Record) error {
	err := d.retireOld(ctx, rec)
	if errors.Is(err, errLedAway) {
		return err // the undo needs the helpers
	}
	d.lastLook(ctx, rec)
	d.keepSeries(ctx, rec)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidying) // also when the run is being stopped
	defer cancel()
	return errors.Join(err, d.Agent.StopAgent(ctx), d.Cluster.DeletePreview(ctx), d.Cluster.Tidy(ctx, rec))
}

func (d *Deployer) retireOld(ctx context.Context, rec *release.Record) error {
	if a := rec.Release.Env.Autoscale; a != nil {
		if err := d.Cluster.SetLeast(ctx, rec.Release, rec.Colour, a.Min); err != nil {
			return err
		}
	}
	if rec.First() {
		note(rec, "retire", "nothing served before")
		return nil
	}
	// Whoever led the Service back meanwhile needs these pods.
	if err := d.stillLeads(ctx, rec); err != nil {
		return err
	}
	if err := d.Cluster.Park(ctx, rec.PreviousColour); err != nil {
		return err
	}
	if err := d.Cluster.WaitGone(ctx, rec.PreviousColour); err != nil {
		return err
	}
	note(rec, "retire", "%s has no pods any more", rec.PreviousColour)
	return nil
}

// errLedAway says that somebody led the live Service away from the new version.
var errLedAway = errors.New("somebody led the live Service elsewhere")

// stillLeads reports whether the live Service leads where the run led it.
func (d *Deployer) stillLeads(ctx context.Context, rec *release.Record) error {
	seen, err := d.Cluster.Observe(ctx)
	if err != nil {
		return err
	}
	if seen.LiveColour() == rec.Colour {
		return nil
	}
	return fmt.Errorf("%w: to %s, not to %s; its selector was written by %s",
		errLedAway, seen.LiveColour(), rec.Colour, strings.Join(seen.ServiceWriters, ", "))
}

// tidying bounds the removal of the helpers.
const tidying = 30 * time.Second

// looking bounds the wait for the prober's last seconds.
const looking = 10 * time.Second

// lastLook takes what the prober saw until now into the record. There is no way
// back any more, so that it cannot fail the run; but it is told.
func (d *Deployer) lastLook(ctx context.Context, rec *release.Record) {
	ctx, cancel := context.WithTimeout(ctx, looking)
	defer cancel()
	until, err := d.Agent.Clock(ctx)
	if err != nil || rec.Switched == nil {
		return
	}
	err = d.Agent.WaitProbe(ctx, liveTarget, *rec.Switched, func(t probe.Tally) (bool, error) {
		rec.Probe = &t
		return t.Last.After(until), nil
	})
	if err == nil {
		note(rec, "retire", "%s; %s", rec.Step("retire").Note, lost(rec.Probe))
	}
}

// keepSeries files what the prober saw in each second. Its loss never fails a run.
func (d *Deployer) keepSeries(ctx context.Context, rec *release.Record) {
	if seconds := d.Agent.Series(liveTarget); len(seconds) > 0 {
		_ = d.Store.KeepSeries(ctx, rec, seconds)
	}
}

package rollout

import (
	"context"

	"cutover.dev/ci/release"
)

// retire takes the old colour down to no pods. Its Deployment stays, and the
// release's ConfigMap and Secret, so that it can be raised again.
func (d *Deployer) retire(ctx context.Context, rec *release.Record) error {
	if err := d.Agent.StopAgent(ctx); err != nil {
		return err
	}
	if err := d.Cluster.DeletePreview(ctx); err != nil {
		return err
	}
	if rec.First() {
		note(rec, "retire", "nothing served before")
		return nil
	}
	if err := d.Cluster.Scale(ctx, rec.PreviousColour, 0); err != nil {
		return err
	}
	if err := d.Cluster.WaitGone(ctx, rec.PreviousColour); err != nil {
		return err
	}
	note(rec, "retire", "%s has no pods any more", rec.PreviousColour)
	return d.Cluster.Tidy(ctx, rec)
}

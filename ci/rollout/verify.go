package rollout

import (
	"context"

	"cutover.dev/ci/release"
)

// The agent's targets: the Services by which it looks at the application.
const (
	previewTarget = "preview"
	liveTarget    = "live"
)

// verify asks the idle colour, through the preview Service and from inside the
// cluster, who it is.
func (d *Deployer) verify(ctx context.Context, rec *release.Record) error {
	return d.answers(ctx, rec, "verify", previewTarget)
}

// verifyLive asks the same where the users ask.
func (d *Deployer) verifyLive(ctx context.Context, rec *release.Record) error {
	return d.answers(ctx, rec, "verify-live", liveTarget)
}

func (d *Deployer) answers(ctx context.Context, rec *release.Record, step, target string) error {
	n := rec.Release.Env.Verify.Answers
	if _, err := d.Agent.WaitAnswers(ctx, target, rec.Release, n); err != nil {
		return err
	}
	note(rec, step, "%d fresh connections in a row answered version %s", n, rec.Release.Version)
	return nil
}

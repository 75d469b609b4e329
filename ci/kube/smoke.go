package kube

import (
	"context"

	"cutover.dev/ci/plan"
	"cutover.dev/ci/release"
)

// Smoke implements rollout.Releases. A Job that a killed run left is waited for.
func (c *Cluster) Smoke(ctx context.Context, rec *release.Record, target, service string) (log string, err error) {
	return c.runForeign(ctx, rec, plan.SmokeJob(rec, target, service))
}

// EndSmoke implements rollout.Releases.
func (c *Cluster) EndSmoke(ctx context.Context, rec *release.Record, target string) error {
	return c.endJob(ctx, c.names.Smoke(rec.Number, target))
}

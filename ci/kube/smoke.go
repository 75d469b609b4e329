package kube

import (
	"context"
	"fmt"

	"cutover.dev/ci/plan"
	"cutover.dev/ci/release"
)

// Smoke implements rollout.Releases. A Job that a killed run left is waited for.
func (c *Cluster) Smoke(ctx context.Context, rec *release.Record, target, service string) (log string, err error) {
	job := plan.SmokeJob(rec, target, service)
	log, failure, err := c.runJob(ctx, job, nil)
	if err != nil {
		return "", err
	}
	if failure != "" {
		err = fmt.Errorf("the Job %s failed: %s", job.Name, failure)
	}
	hidden, hideErr := c.hider(ctx, rec.Release.ID)
	if hideErr != nil {
		return "", hideErr
	}
	log = hidden.Hide(log)
	if err != nil {
		return log, err
	}
	return log, c.EndSmoke(ctx, rec, target)
}

// EndSmoke implements rollout.Releases.
func (c *Cluster) EndSmoke(ctx context.Context, rec *release.Record, target string) error {
	return c.endJob(ctx, c.names.Smoke(rec.Number, target))
}

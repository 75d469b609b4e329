package kube

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"cutover.dev/ci/plan"
	"cutover.dev/ci/release"
)

// Smoke implements rollout.Releases. A Job that a killed run left is waited for.
func (c *Cluster) Smoke(ctx context.Context, rec *release.Record, target, service string) (log string, err error) {
	job := plan.SmokeJob(rec, target, service)
	if err := c.write(ctx, "create the Job "+job.Name, func(ctx context.Context) error {
		_, err := c.client.BatchV1().Jobs(c.namespace).Create(ctx, job, metav1.CreateOptions{FieldManager: release.Manager})
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	}); err != nil {
		return "", err
	}
	failure, err := c.waitJob(ctx, job.Name)
	if err != nil {
		return "", err
	}
	log, err = c.jobLog(ctx, job.Name)
	if failure != "" {
		err = fmt.Errorf("the Job %s failed: %s", job.Name, failure) // its log may be gone with its pod
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
	name := c.names.Smoke(rec.Number, target)
	return c.write(ctx, "delete the Job "+name, func(ctx context.Context) error { return c.deleteJob(ctx, name) })
}

package rollout

import (
	"cmp"
	"context"
	"fmt"

	"cutover.dev/ci/migrate"
	"cutover.dev/ci/outcome"
	"cutover.dev/ci/release"
)

// migrate brings the database to the release's schema, by a Job in the cluster
// and from the release's bundle.
func (d *Deployer) migrate(ctx context.Context, rec *release.Record) error {
	if err := d.Cluster.CreateConfig(ctx, rec, d.Input.Secrets); err != nil {
		return err
	}
	if rec.Kind == release.Rollback {
		note(rec, "migrate", "the schema stays as it is")
		return nil
	}
	if rec.Release.Env.Migrations == nil {
		note(rec, "migrate", "no migrations are configured")
		return nil
	}
	log, err := d.Cluster.Migrate(ctx, rec)
	result, found := migrate.ParseResult(log)
	if found {
		rec.Release.Schema = result.To
		note(rec, "migrate", "%s", result)
	}
	switch {
	case err != nil && found && result.Error != "":
		return &outcome.Error{Code: outcome.RolledBack, Err: fmt.Errorf("%s failed: %s", cmp.Or(result.Failed, "the migration"), result.Error),
			Next: "correct the migration, commit, and deploy again"}
	case err != nil:
		return err
	case !found:
		return fmt.Errorf("the migration said nothing of its result:\n%s", log)
	}
	return nil
}

// forget takes away what belonged to the release alone: its ConfigMap, its Secret
// and its Job. The schema stays: the version that serves lives on the expanded one
// too, and taking a migration back could lose data.
func (d *Deployer) forget(ctx context.Context, rec *release.Record) error {
	if rec.Restores() { // what a rollback brings back, it did not make
		return nil
	}
	note(rec, "migrate", "the release's configuration is gone; the schema stays as it is")
	return d.Cluster.DeleteRelease(ctx, rec.Release.ID)
}

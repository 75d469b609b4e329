package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"cutover.dev/ci/migrate"
	"cutover.dev/ci/outcome"
	"cutover.dev/ci/plan"
	"cutover.dev/ci/release"
)

// migrate brings the database to the release's schema, by a Job in the cluster
// and from the release's bundle.
func (d *Deployer) migrate(ctx context.Context, rec *release.Record) error {
	if err := d.Cluster.CreateConfig(ctx, rec, d.Input.Secrets); err != nil {
		return err
	}
	switch {
	case rec.Kind == release.Rollback:
		note(rec, "migrate", "the schema stays as it is")
		return nil
	case rec.Release.Env.Migrations == nil:
		note(rec, "migrate", "no migrations are configured")
		return nil
	case len(rec.Pending) == 0 && !rec.Remember:
		note(rec, "migrate", "schema is at %d; nothing to apply", rec.Release.Schema)
		return nil
	}
	log, err := d.Cluster.Migrate(ctx, rec, d.says("migrate"))
	result, err := migrated(log, err)
	if result.To > 0 { // also when it failed on its way
		rec.Release.Schema, rec.Schema, rec.Contracted = result.To, result.To, result.Contracted
	}
	if err == nil {
		note(rec, "migrate", "%s", result)
	}
	return err
}

// says tells the lines of a step's helper, but for its result, which is for a
// program, and its error, which the run tells.
func (d *Deployer) says(step string) func(line string) {
	over := false
	return func(line string) {
		_, result := migrate.ParseResult(line)
		if over = over || result || strings.HasPrefix(line, "error: "); !over && line != "" {
			d.tell(Event{Step: step, State: release.Started, Said: line})
		}
	}
}

// migrated reads what a Job did to the database out of its log.
func migrated(log string, err error) (migrate.Result, error) {
	result, found := migrate.ParseResult(log)
	switch {
	case found && len(result.Problems) > 0:
		var findings plan.Plan
		for _, p := range result.Problems {
			findings.Findings = append(findings.Findings, plan.Finding{What: p.What, Next: p.Next})
		}
		return result, Refusal(findings)
	case err != nil && found && result.Error != "":
		return result, &outcome.Error{Code: outcome.RolledBack, Err: fmt.Errorf("%s failed: %s", cmp.Or(result.Failed, "the migration"), result.Error),
			Next: "correct the migration, commit, and deploy again"}
	case err != nil:
		return result, err
	case !found:
		return result, errors.New("the migration said nothing of its result:\n" + log)
	}
	return result, nil
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

// MigrateStatus says how the database stands to the release's migrations. But for a
// pod that lives for some seconds it changes nothing.
func (d *Deployer) MigrateStatus(ctx context.Context) (*migrate.State, error) {
	if d.Input.Env.Migrations == nil {
		return nil, outcome.Refusef("see `migrations` in the README", "no migrations are configured in envs/%s.yaml", d.Input.Env.Name)
	}
	state, trouble, err := d.lookAtDatabase(ctx, plan.Make(d.Input, plan.Observed{}).Release, d.Input)
	switch {
	case err != nil:
		return nil, outcome.Fail(again, err)
	case state == nil:
		return nil, outcome.Failf(again, unknownDatabase, trouble)
	}
	return state, nil
}

// unknownDatabase is what is said when a pod could not tell.
const unknownDatabase = "how the database stands is not known: %s"

// lookAtDatabase asks the database alone, by a short-lived pod of the release's
// bundle. Without a state the pod could not tell, and trouble says why.
func (d *Deployer) lookAtDatabase(ctx context.Context, r release.Release, in plan.Input) (state *migrate.State, trouble string, err error) {
	d.tell(Event{Note: "a short-lived pod looks at the database"})
	r.Image = "" // there is nothing to pull
	seen, err := d.Cluster.Check(ctx, r, in)
	return seen.Database, seen.Trouble, err
}

package rollout

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"cutover.dev/ci/outcome"
	"cutover.dev/ci/plan"
	"cutover.dev/ci/release"
)

// contractSteps returns what `migrate contract` does, in order.
func (d *Deployer) contractSteps() []Step {
	limit := time.Minute
	if b := d.Input.Env.Migrations.Backup; b != nil {
		limit += b.Timeout
	}
	return []Step{
		{Name: "preflight", Timeout: time.Minute, Do: d.contractible, Undo: Reads()},
		{Name: "backup", Timeout: limit, Do: d.backup, Undo: Keep("a copy harms nobody")},
		{Name: "contract", Timeout: migrateTimeout(d.Input.Env), Do: d.contract, Undo: Final("what a migration takes away does not come back by itself")},
	}
}

// Contract takes from the database what only older releases use, by contract
// migrations of the release that serves. It refuses while one that lacks them may
// still come back. Afterwards those are no targets for a rollback any more.
func (d *Deployer) Contract(ctx context.Context, versions []int64) (*release.Record, error) {
	run := rand.Text()[:10]
	lock, err := d.start(ctx, run)
	if err != nil {
		return nil, err
	}
	defer lock.Unlock()
	ctx = lock.Context()
	if err := d.recover(ctx, lock); err != nil {
		return nil, err
	}
	rec, err := d.contractRecord(ctx, run, versions)
	if err != nil {
		return nil, outcome.Fail(again, err)
	}
	if err := d.Store.Begin(ctx, rec); err != nil {
		return nil, outcome.Failf(again, "begin the record of this run: %w", err)
	}
	return rec, d.as(rec).runner(lock).Run(ctx, rec)
}

// contractRecord decides: it is the plan of a run that contracts.
func (d *Deployer) contractRecord(ctx context.Context, run string, versions []int64) (*release.Record, error) {
	seen, err := d.Cluster.Observe(ctx)
	if err != nil {
		return nil, err
	}
	env := d.Input.Env
	live := seen.Live()
	switch {
	case live == nil || seen.LiveColour() != seen.Record.Serving:
		return nil, outcome.Refusef("dagger call status --env="+env.Name, "no release serves as its record says")
	case live.Env.Migrations == nil:
		return nil, outcome.Refusef("see `migrations` in the README", "release %s, which serves, has no migrations", live.ID)
	}
	d.Input.Env = live.Env
	if d.Input.Secrets, err = d.Cluster.Secrets(ctx, live.ID); err != nil {
		return nil, err
	}
	database, trouble, err := d.lookAtDatabase(ctx, *live, d.Input)
	switch {
	case err != nil:
		return nil, err
	case database == nil:
		return nil, outcome.Refusef(again, unknownDatabase, trouble)
	}
	if err := named(env.Name, versions, database.Deferred); err != nil {
		return nil, err
	}
	rec := &release.Record{
		Format: release.FormatVersion, Run: run, Label: d.Label, By: d.By, Kind: release.Contract, Namespace: env.Namespace,
		Release: *live, Colour: seen.Record.Serving, Serving: seen.Record.Serving, Outcome: release.Running, Started: *now(),
		Contracting: versions, Schema: database.Version, Contracted: database.Contracted,
	}
	for _, s := range d.as(rec).Steps() {
		rec.Steps = append(rec.Steps, release.Step{Name: s.Name, State: release.Pending})
	}
	return rec, d.outlived(ctx, rec)
}

// named makes sure that the versions were named, and that they wait.
func named(env string, versions []int64, deferred []string) error {
	var waiting []string
	for _, file := range deferred {
		digits, _, _ := strings.Cut(file, "_")
		v, _ := strconv.ParseInt(digits, 10, 64)
		waiting = append(waiting, strconv.FormatInt(v, 10))
	}
	next := fmt.Sprintf("dagger call migrate contract --env=%s --versions=%s", env, strings.Join(waiting, ","))
	if len(waiting) == 0 {
		return outcome.Refusef("dagger call migrate status --env="+env, "no contract migration waits")
	}
	if len(versions) == 0 {
		return outcome.Refusef(next, "which contract migrations? These wait: %s", strings.Join(deferred, ", "))
	}
	for _, v := range versions {
		if !slices.Contains(waiting, strconv.FormatInt(v, 10)) {
			return outcome.Refusef(next, "version %d is not a contract migration that waits; these do: %s", v, strings.Join(deferred, ", "))
		}
	}
	return nil
}

// outlived makes sure that no release comes back that uses what is taken away:
// none has pods, and none was retired too short a time ago.
func (d *Deployer) outlived(ctx context.Context, rec *release.Record) error {
	seen, err := d.Cluster.Observe(ctx)
	if err != nil {
		return err
	}
	idle := rec.Colour.Other()
	if id := seen.Releases[idle]; seen.Size[idle] > 0 || seen.Ready[idle] > 0 {
		return outcome.Refusef("dagger call status --env="+rec.Release.Env.Name, "release %s still has pods on %s", id, idle)
	}
	runs, err := d.Store.History(ctx)
	if err != nil {
		return err
	}
	window := rec.Release.Env.Migrations.RollbackWindow
	var until time.Time // when the run that is looked at stopped serving
	for _, run := range slices.Backward(runs) {
		if run.Outcome != release.Succeeded || run.Kind == release.Contract {
			continue
		}
		left := window - time.Since(until)
		if !until.IsZero() && window > 0 && left > 0 {
			lacks, err := d.lacks(ctx, run.Release, rec.Contracting)
			if err != nil {
				return err
			}
			if lacks {
				return outcome.Refusef(fmt.Sprintf("the same command in %s; or lower migrations.rollbackWindow, which is %s, and deploy that first", left.Round(time.Second), window),
					"release %s, which uses what these migrations take away, served until %s: it is to stay a target for a rollback", run.Release, until.UTC().Format(time.RFC3339))
			}
		}
		until = run.Started.Add(time.Duration(run.Seconds * float64(time.Second)))
	}
	return nil
}

// lacks reports whether a release's bundle lacks one of the contract migrations. One
// that is not remembered any more does.
func (d *Deployer) lacks(ctx context.Context, id string, versions []int64) (bool, error) {
	made, err := d.Store.Find(ctx, id)
	if err != nil || made == nil {
		return true, err
	}
	return made.Release.Lives(made.Release.Schema, versions) != nil, nil
}

// contractible looks once more, now that the record is kept.
func (d *Deployer) contractible(ctx context.Context, rec *release.Record) error {
	if err := d.outlived(ctx, rec); err != nil {
		return err
	}
	note(rec, "preflight", "no release that lacks %v can come back", rec.Contracting)
	return nil
}

// backup runs the declared command; without one the place in the write-ahead log,
// which the next step notes, is the restore point.
func (d *Deployer) backup(ctx context.Context, rec *release.Record) error {
	if rec.Release.Env.Migrations.Backup == nil {
		note(rec, "backup", "no command is configured: the place in the write-ahead log is noted")
		return nil
	}
	log, err := d.Cluster.Backup(ctx, rec)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, strings.TrimSpace(log))
	}
	lines := strings.Split(strings.TrimSpace(log), "\n")
	rec.RestorePoint = lines[len(lines)-1]
	note(rec, "backup", "%s", rec.RestorePoint)
	return nil
}

// recount asks the database what a Job that told nothing has done. When it cannot be
// asked, all of it counts as done: a release that is wrongly no target for a rollback
// is a smaller harm than one that is wrongly brought back.
func (d *Deployer) recount(ctx context.Context, rec *release.Record) {
	ctx = context.WithoutCancel(ctx)
	if secrets, err := d.Cluster.Secrets(ctx, rec.Release.ID); err == nil {
		seen, _, err := d.lookAtDatabase(ctx, rec.Release, plan.Input{Env: rec.Release.Env, Secrets: secrets})
		if err == nil && seen != nil {
			rec.Schema, rec.Contracted = seen.Version, seen.Contracted
			return
		}
	}
	for _, v := range rec.Contracting {
		if !slices.Contains(rec.Contracted, v) {
			rec.Contracted = append(rec.Contracted, v)
		}
	}
}

// contract applies the migrations. From here on what they took away is gone, and the
// record says so of those that ran, also when a later one failed.
func (d *Deployer) contract(ctx context.Context, rec *release.Record) error {
	log, err := d.Cluster.Contract(ctx, rec, rec.Contracting, d.says("contract"))
	result, err := migrated(log, err)
	if result.To > 0 {
		rec.Schema, rec.Contracted = result.To, result.Contracted
	} else {
		d.recount(ctx, rec)
	}
	if rec.RestorePoint == "" {
		rec.RestorePoint = result.RestorePoint
	}
	if err != nil {
		return err
	}
	note(rec, "contract", "%s; older releases are no targets for a rollback any more", result)
	return nil
}

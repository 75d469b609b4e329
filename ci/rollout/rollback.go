package rollout

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cutover.dev/ci/outcome"
	"cutover.dev/ci/release"
)

// SecretsOf says which secrets a rollback hands to the release it brings back.
type SecretsOf string

// The choices of a rollback.
const (
	// ThenSecrets are the release's own, as they were.
	ThenSecrets SecretsOf = "release"
	// NowSecrets are those of the release that serves now: for a password that was
	// changed since.
	NowSecrets SecretsOf = "current"
)

// Rollback brings a release back that served before: to, or without it the one
// before the present. A run that has not finished is taken back instead, which
// is one switch: by its own process if that lives, else from its record; one that
// was about to take the old version away is finished first. It returns the run's
// record.
func (d *Deployer) Rollback(ctx context.Context, to string, secrets SecretsOf) (*release.Record, error) {
	current, settled, err := d.settle(ctx, to)
	if settled || err != nil {
		return current, outcome.Fail(again, err)
	}
	target, err := d.target(ctx, current, to)
	if err != nil {
		return nil, outcome.Fail(again, err)
	}
	if err := d.restore(ctx, current, target, secrets); err != nil {
		return nil, outcome.Fail(again, err)
	}
	return d.Deploy(ctx)
}

// settle ends a run that is at work or was left unfinished. It reports whether
// that was the rollback that was asked for; else the record is that of what
// serves.
func (d *Deployer) settle(ctx context.Context, to string) (rec *release.Record, settled bool, err error) {
	before, err := d.Store.Load(ctx)
	if err != nil {
		return nil, false, err
	}
	asked, err := d.Locker.AskStop(ctx, d.By)
	if err != nil {
		return nil, false, err
	}
	if asked {
		d.tell(Event{State: release.Undoing, Note: "a run is at work: it was asked to go back"})
		if err := d.Locker.WaitFree(ctx); err != nil {
			return nil, false, err
		}
	}
	if rec, err = d.Store.Load(ctx); err != nil || rec == nil {
		return nil, false, err
	}
	if !rec.Finished() {
		if to != "" && (rec.Previous == nil || to != rec.Previous.ID) {
			return nil, false, outcome.Refusef("dagger call rollback --env="+d.Input.Env.Name+"   (takes that run back; then this command again)",
				"run %s has not finished: only what served before it can be brought back now", rec.Run)
		}
		rec, err = d.TakeBack(ctx)
		return rec, err != nil || rec.Outcome != release.Succeeded, wanted(err)
	}
	if !asked {
		return rec, false, nil
	}
	// The run that was asked ended by itself: it went back, or had changed nothing,
	// or was faster. One that had not begun its record is none of them.
	begun := before == nil || before.Run != rec.Run || !before.Finished()
	live := rec.ServingRelease()
	return rec, (!begun || rec.Outcome != release.Succeeded) && (to == "" || live != nil && live.ID == to), nil
}

// wanted is nil for a run that was taken back, which is what was wanted.
func wanted(err error) error {
	if outcome.CodeOf(err) == outcome.RolledBack {
		return nil
	}
	return err
}

// target returns the release to bring back.
func (d *Deployer) target(ctx context.Context, current *release.Record, to string) (*release.Release, error) {
	history := "dagger call history --env=" + d.Input.Env.Name
	if current == nil || current.ServingRelease() == nil {
		return nil, outcome.Refusef(history, "nothing serves: there is nothing to roll back")
	}
	live := current.ServingRelease()
	if to == "" {
		made, err := d.Store.Find(ctx, live.ID)
		if err != nil {
			return nil, err
		}
		if made == nil || made.Previous == nil {
			return nil, outcome.Refusef(history, "no record says what served before %s", live.ID)
		}
		to = made.Previous.ID
	}
	rec, err := d.Store.Find(ctx, to)
	switch {
	case err != nil:
		return nil, err
	case rec == nil:
		return nil, outcome.Refusef(history, "release %s is not among the kept ones that served", to)
	}
	if err := rec.Release.Lives(current.Schema, current.Contracted); err != nil {
		return nil, outcome.Refusef("correct it forward: dagger call deploy --env="+d.Input.Env.Name+"   (or bring the database back to a restore point first, see "+history+")", "%w", err)
	}
	return &rec.Release, nil
}

// restore makes the input ask for the release as it was.
func (d *Deployer) restore(ctx context.Context, current *release.Record, target *release.Release, from SecretsOf) error {
	r, id := *target, target.ID
	switch from {
	case ThenSecrets:
	case NowSecrets:
		id = current.ServingRelease().ID
		if r.ID != id {
			r.ID = "" // a Secret is immutable: other values are another release
		}
	default:
		return outcome.Refusef("the same command with --secrets=release or --secrets=current", "--secrets=%s is neither", from)
	}
	values, err := d.Cluster.Secrets(ctx, id)
	if err != nil {
		return err
	}
	maps.DeleteFunc(values, func(name, _ string) bool { return !slices.Contains(r.Env.Secrets.Required, name) })
	if missing := lacking(r.Env.Secrets.Required, values); missing != "" {
		return outcome.Refusef(fmt.Sprintf("dagger call rollback --env=%s --to=%s --secrets=current   (or =release)", r.Env.Name, target.ID),
			"release %s needs secrets that release %s does not have: %s", target.ID, id, missing)
	}
	d.Input.Env, d.Input.Restore, d.Input.Secrets = r.Env, &r, values
	return nil
}

func lacking(required []string, values map[string]string) string {
	var missing []string
	for _, name := range required {
		if _, ok := values[name]; !ok {
			missing = append(missing, name)
		}
	}
	return strings.Join(missing, ", ")
}

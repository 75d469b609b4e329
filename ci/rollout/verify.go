package rollout

import (
	"context"
	"fmt"
	"time"

	"cutover.dev/ci/config"
	"cutover.dev/ci/outcome"
	"cutover.dev/ci/probe"
	"cutover.dev/ci/release"
)

// The agent's targets: the Services by which it looks at the application.
const (
	previewTarget = "preview"
	liveTarget    = "live"
)

// verify asks the idle colour, through the preview Service and from inside the
// cluster, who it is, and whether one of its pods can go without a lost request.
func (d *Deployer) verify(ctx context.Context, rec *release.Record) error {
	if err := d.answers(ctx, rec, "verify", previewTarget); err != nil {
		return err
	}
	if err := d.smoke(ctx, rec, "verify", previewTarget, names(rec).Preview()); err != nil {
		return err
	}
	if rec.Release.Env.Verify.Drain {
		return d.drain(ctx, rec)
	}
	return nil
}

// verifyLive asks the same where the users ask.
func (d *Deployer) verifyLive(ctx context.Context, rec *release.Record) error {
	if err := d.answers(ctx, rec, "verify-live", liveTarget); err != nil {
		return err
	}
	return d.smoke(ctx, rec, "verify-live", liveTarget, names(rec).Live())
}

func names(rec *release.Record) release.Names { return release.Names{App: rec.Release.Env.App} }

func (d *Deployer) answers(ctx context.Context, rec *release.Record, step, target string) error {
	n := rec.Release.Env.Verify.Answers
	if _, err := d.Agent.WaitAnswers(ctx, target, rec.Release, n); err != nil {
		return err
	}
	note(rec, step, "%d fresh connections in a row answered version %s", n, rec.Release.Version)
	return nil
}

// drain ends the surplus pod while the agent sends requests to the preview
// Service. Not one may fail: every later deploy ends all the pods of a colour.
// Which pods the prober's kept connections lead to, nobody can see from outside;
// a pod that ended without one of them has proved nothing about them, and the
// next one is ended.
func (d *Deployer) drain(ctx context.Context, rec *release.Record) error {
	seen, ended, kept := 0, 0, 0
	for kept == 0 && ended < drains {
		t, err := d.endOne(ctx, rec)
		if err != nil {
			return err
		}
		seen, ended, kept = seen+t.OK, ended+1, t.Classes[probe.Kept].Connections
	}
	pods := "a pod ended"
	if ended > 1 {
		pods = fmt.Sprintf("%d pods ended, one after the other,", ended)
	}
	note(rec, "verify", "%s; %s under load: 0 of %d requests failed", rec.Step("verify").Note, pods, seen)
	if kept == 0 {
		note(rec, "verify", "%s, but no kept-alive connection was on them", rec.Step("verify").Note)
	}
	return nil
}

// drains is how many pods are ended at most. The prober has several connections and
// keeps them where they are, so that the first three pods hardly ever have none.
const drains = 3

// drainTimeout bounds the drain test, where there is one.
func drainTimeout(env config.Env) time.Duration {
	if !env.Verify.Drain {
		return 0
	}
	return drains * env.Shutdown.Grace
}

// endOne returns what the prober saw while one pod ended, with the connections
// that it then had to open anew.
func (d *Deployer) endOne(ctx context.Context, rec *release.Record) (seen probe.Tally, err error) {
	if err := d.ask(ctx, rec); err != nil { // where it has ended already, there is another one
		return seen, err
	}
	if err := d.Cluster.WaitReady(ctx, rec.Release, rec.Colour, d.raised(rec)); err != nil {
		return seen, err
	}
	env := rec.Release.Env
	begun, err := d.Agent.Clock(ctx)
	if err != nil {
		return seen, err
	}
	if err := d.Cluster.SetLeast(ctx, rec.Release, rec.Colour, rec.Replicas); err != nil {
		return seen, err
	}
	pod, err := d.Cluster.EndOne(ctx, rec.Colour, rec.Replicas)
	if err != nil {
		return seen, err
	}
	ending, cancel := context.WithTimeout(ctx, env.Shutdown.Grace)
	defer cancel()
	if err := d.Cluster.WaitEnded(ending, pod); err != nil {
		return seen, fmt.Errorf("drain test: %w", err)
	}
	ended, err := d.Agent.Clock(ctx)
	if err != nil {
		return seen, err
	}
	err = d.Agent.WaitProbe(ctx, previewTarget, begun, func(t probe.Tally) (bool, error) {
		seen = t
		if t.Failed > 0 {
			return false, t.Verdict(1, 0)
		}
		return t.OK > 0 && t.Last.After(ended), nil
	})
	if err != nil {
		err = &outcome.Error{Code: outcome.RolledBack, Err: fmt.Errorf("drain test: while pod %s ended, %w", pod, err),
			Next: "let the application answer all its requests after SIGTERM and say `Connection: close`, or give it more time: shutdown in envs/" + env.Name + ".yaml"}
	}
	return seen, err
}

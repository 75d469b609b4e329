// Command demo shows cutover at work, on a real cluster and through a real
// Dagger engine: three deploys of the example application under load, the last
// one of a version that never becomes ready.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"cutover.dev/ci/e2e/stage"
	"cutover.dev/ci/probe"
	"cutover.dev/ci/release"
)

const (
	// rate is what the load sends; every second must show at least wantRate.
	rate, wantRate = 120, 100
	// pageRate is what asks for the page besides.
	pageRate = 5
	// wantRequests is the least that makes "0 failed" say something.
	wantRequests = 5000
	// atMost ends everything, should the demo hang.
	atMost = 20 * time.Minute
)

// deploy is one row of the table and of build/demo.json.
type deploy struct {
	Release   string          `json:"release"`
	Version   string          `json:"version"`
	Outcome   release.Outcome `json:"outcome"`
	Seconds   float64         `json:"seconds"`
	Requests  int             `json:"requests"`
	Failed    int             `json:"failed"`
	Serving   string          `json:"serving"`
	PerSecond []int           `json:"per_second"`

	steps      []release.Step
	start, end time.Time
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	s, err := stage.Open(root, "notes-dev")
	if err != nil {
		return err
	}
	stage.Say("a namespace of its own with a PostgreSQL in it")
	if err := s.Set(ctx); err != nil {
		return err
	}
	first, err := take(ctx, s, "1")
	if err != nil {
		return err
	}
	stage.Say("version 1 serves: %d requests a second from now on, to the end", rate+pageRate)
	loads, err := startLoads(ctx, s)
	if err != nil {
		return err
	}
	second, err := take(ctx, s, "2")
	if err != nil {
		return err
	}
	third, err := take(ctx, s, "3", "--build-arg=FAULT=never-ready")
	if err != nil {
		return err
	}
	// The second in which the last deploy ended has to be a whole one.
	if err := loads[0].Past(ctx, third.end); err != nil {
		return err
	}
	seconds, failed, err := stopLoads(ctx, loads)
	if err != nil {
		return err
	}
	deploys := []deploy{first, second, third}
	for i := range deploys[1:] {
		deploys[i+1].count(seconds)
	}
	total := 0
	for _, second := range seconds {
		total += second.OK + second.Failed
	}
	fmt.Print("\n", table(deploys))
	fmt.Printf("\n%d requests in all, %d failed, from the moment version 1 served to the end\n", total, failed)
	if err := s.Keep("demo.json", map[string]any{"deploys": deploys}); err != nil {
		return err
	}
	return judge(deploys, seconds, total, failed)
}

// take deploys a version with the command that a user would type.
func take(ctx context.Context, s *stage.Stage, version string, more ...string) (deploy, error) {
	args := []string{"deploy", "--env=dev", "--version=" + version}
	args = append(append(append(args, s.Cluster()...), s.Secrets()...), more...)
	stage.Say("dagger call %s", strings.Join(append([]string{args[0], args[1], args[2]}, more...), " "))
	call, err := s.Dagger(ctx, nil, args...)
	if err != nil {
		return deploy{}, err
	}
	rec, err := s.Record(ctx)
	if err != nil {
		return deploy{}, fmt.Errorf("exit code %d, and no record: %w\n%s", call.Code, err, call.Output())
	}
	if rec.Release.Version != version {
		return deploy{}, fmt.Errorf("the deploy of version %s left no record of its own; exit code %d:\n%s", version, call.Code, call.Output())
	}
	d := deploy{
		Release: rec.Release.ID, Version: version, Outcome: rec.Outcome, Seconds: call.Took.Round(100 * time.Millisecond).Seconds(),
		PerSecond: []int{}, steps: rec.Steps, start: call.Start, end: call.End,
	}
	if live := rec.ServingRelease(); live != nil {
		d.Serving = live.Version
	}
	stage.Say("  %s after %.1f s, exit code %d; version %s serves", d.Outcome, d.Seconds, call.Code, d.Serving)
	return d, nil
}

func startLoads(ctx context.Context, s *stage.Stage) ([]*stage.Load, error) {
	rec, err := s.Record(ctx)
	if err != nil {
		return nil, err
	}
	var loads []*stage.Load
	for _, t := range []stage.Traffic{
		{Name: "load", Rate: rate, Read: "/notes?limit=5", Write: "/notes", AtMost: atMost},
		{Name: "load-page", Rate: pageRate, Read: "/", AtMost: atMost},
	} {
		l, err := s.StartLoad(ctx, rec.Release.Bundle, t)
		if err != nil {
			return nil, err
		}
		loads = append(loads, l)
	}
	return loads, nil
}

// stopLoads ends the loads and returns the seconds of the first, and how many
// requests failed of all.
func stopLoads(ctx context.Context, loads []*stage.Load) (seconds []probe.Second, failed int, err error) {
	for i, l := range loads {
		got, result, err := l.Stop(ctx)
		if err != nil {
			return nil, 0, err
		}
		if i == 0 {
			seconds = got
		}
		failed += result.Failed
		if result.Failed > 0 {
			stage.Say("failed: %v", result.Verdict(probe.Minimum{}))
		}
	}
	return seconds, failed, nil
}

// count takes what the load did while the deploy ran.
func (d *deploy) count(seconds []probe.Second) {
	for _, s := range seconds {
		if s.At.Before(d.start) || s.At.After(d.end) {
			continue
		}
		d.PerSecond = append(d.PerSecond, s.OK+s.Failed)
		d.Requests += s.OK + s.Failed
		d.Failed += s.Failed
	}
}

// judge says whether the demo showed what it is for.
func judge(deploys []deploy, seconds []probe.Second, total, failed int) error {
	var wrong []error
	for i, want := range []release.Outcome{release.Succeeded, release.Succeeded, release.RolledBack} {
		if got := deploys[i].Outcome; got != want {
			wrong = append(wrong, fmt.Errorf("deploy %d ended as %s, not %s", i+1, got, want))
		}
	}
	if serving := deploys[2].Serving; serving != "2" {
		wrong = append(wrong, fmt.Errorf("version %q serves at the end, not 2", serving))
	}
	if failed > 0 || total < wantRequests {
		wrong = append(wrong, fmt.Errorf("%d of %d requests failed; wanted 0 of at least %d", failed, total, wantRequests))
	}
	// The first and the last second are not whole ones.
	for _, s := range seconds[1 : len(seconds)-1] {
		if n := s.OK + s.Failed; n < wantRate {
			wrong = append(wrong, fmt.Errorf("only %d requests in the second %s", n, s.At.Format(time.TimeOnly)))
		}
	}
	return errors.Join(wrong...)
}

func table(deploys []deploy) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "release\tversion\toutcome\tseconds\trequests\tfailed\tserves now\tseconds per step")
	for _, d := range deploys {
		var steps []string
		for _, s := range d.steps {
			if s.Started != nil {
				steps = append(steps, fmt.Sprintf("%s %.1f", s.Name, s.Seconds()))
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%.1f\t%d\t%d\tversion %s\t%s\n", d.Release, d.Version, d.Outcome, d.Seconds, d.Requests, d.Failed, d.Serving, strings.Join(steps, ", "))
	}
	w.Flush()
	return b.String()
}

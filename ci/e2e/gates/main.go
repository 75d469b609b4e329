// Command gates deploys bad releases under load, each of which a gate has to catch
// by itself, and measures how long users were on them and how soon they were back.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"cutover.dev/ci/e2e/soak/trial"
	"cutover.dev/ci/e2e/stage"
)

// maxBack is the most that the median way back may take, in seconds from the
// evidence to the users on the previous version.
const maxBack = 3

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "gates:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "cutover-gates-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := stage.Open(root, "notes-gates")
	if err != nil {
		return err
	}
	if err := errors.Join(s.Copy(dir), s.Clear(ctx), s.Set(ctx)); err != nil {
		return err
	}
	t, err := trial.Open(ctx, s, stage.Say)
	if err != nil {
		return err
	}
	all, err := t.CatchAll(ctx, trial.Gates(s.Prometheus))
	if err := errors.Join(err, s.Keep("gates.json", all), judge(all)); err != nil {
		return err // what was left is worth a look
	}
	return s.Strike(ctx)
}

// judge says what was wrong, and whether users came back too late.
func judge(all []trial.Caught) error {
	var wrong []error
	var back []float64
	for _, c := range all {
		wrong = append(wrong, c.Err())
		if c.Back >= 0 {
			back = append(back, c.Back)
		}
	}
	if slices.Sort(back); len(back) > 0 && back[len(back)/2] > maxBack {
		wrong = append(wrong, fmt.Errorf("in the median it took %.1f s to come back, at most %d are allowed", back[len(back)/2], maxBack))
	}
	return errors.Join(wrong...)
}

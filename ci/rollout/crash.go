package rollout

import (
	"context"
	"errors"
	"strings"

	"cutover.dev/ci/release"
)

// Crash says that a pod of the new version died, or can never live.
type Crash struct {
	Pod string
	// What happened to it, one sentence without the pod's name.
	What string
	// Log are the last lines it wrote, Events what was last reported about it. No
	// secret is in them.
	Log, Events []string
}

// Error implements error, with the log and the events on lines of their own.
func (c *Crash) Error() string {
	text := "pod " + c.Pod + " " + c.What
	for _, part := range []struct {
		title string
		lines []string
	}{{"its last words:", c.Log}, {"its last events:", c.Events}} {
		if len(part.lines) > 0 {
			text += "\n  " + part.title + "\n    " + strings.Join(part.lines, "\n    ")
		}
	}
	return text
}

// watching carries out a step while the new version's pods are watched. The first
// that crashes fails the step, whatever that is waiting for.
func (d *Deployer) watching(do func(context.Context, *release.Record) error) func(context.Context, *release.Record) error {
	return func(ctx context.Context, rec *release.Record) error {
		ctx, stop := context.WithCancelCause(ctx)
		watched := make(chan error, 1)
		go func(r release.Release, colour release.Colour) {
			err := d.Cluster.WaitCrash(ctx, r, colour)
			stop(err)
			watched <- err
		}(rec.Release, rec.Colour)
		err := do(ctx, rec)
		stop(context.Canceled)
		if crash, ok := errors.AsType[*Crash](<-watched); ok {
			return crash
		}
		return err
	}
}

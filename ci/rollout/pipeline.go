// Package rollout takes a release to a cluster: an ordered list of steps, each
// with its undo, carried out by a runner that writes down what it is about to do
// and what it has done.
//
// This file is the page to read: the order of everything. Each verb has a file
// of its own name.
package rollout

import (
	"context"
	"errors"
	"time"

	"cutover.dev/ci/agent"
	"cutover.dev/ci/plan"
	"cutover.dev/ci/release"
)

// ErrLockLost is the cause with which a run's context ends when another run has
// taken over.
var ErrLockLost = errors.New("the lock was lost")

// Steps returns what a deploy does, in order.
func (d *Deployer) Steps() []Step {
	env := d.Input.Env
	return []Step{
		{Name: "preflight", Timeout: time.Minute, Do: d.preflight, Undo: Reads()},
		{Name: "migrate", Timeout: migrateTimeout(env), Do: d.migrate, Undo: Keep("the version that serves lives on the expanded schema too")},
		{Name: "raise", Timeout: env.Raise.Timeout, Do: d.raise, Undo: Revert(d.lower)},
		{Name: "verify", Timeout: env.Verify.Timeout, Do: d.verify, Undo: Reads()},
		{Name: "switch", Timeout: env.Verify.Timeout, Do: d.switchOver, Undo: Revert(d.switchBack)},
		{Name: "verify-live", Timeout: env.Verify.Timeout, Do: d.verifyLive, Undo: Reads()},
		{Name: "retire", Timeout: env.Shutdown.Grace + time.Minute, Do: d.retire, Undo: Final("the old colour is gone: another deploy brings it back")},
	}
}

// Deployer carries out a deploy. Its fields are what it works with; all but
// Notify are required.
type Deployer struct {
	Input   plan.Input
	Cluster Cluster
	Agent   Agent
	Store   Store
	Locker  Locker
	// Notify is told of every change, see Runner.
	Notify func(Event)
	// By says who runs the deploy and from where; Label is the caller's own name
	// for the run.
	By, Label string
}

// Cluster is what the steps ask of a cluster. Every method may be called again
// after it was interrupted.
type Cluster interface {
	// Watch starts following the application; the waits below need it.
	Watch(ctx context.Context) error
	Observe(ctx context.Context) (plan.Observed, error)
	CreateConfig(ctx context.Context, rec *release.Record, secrets map[string]string) error
	Migrate(ctx context.Context, rec *release.Record) (log string, err error)
	ApplyPreview(ctx context.Context, rec *release.Record) error
	ApplyColour(ctx context.Context, rec *release.Record) error
	WaitReady(ctx context.Context, rec *release.Record) error
	Select(ctx context.Context, rec *release.Record, from, to release.Colour) error
	WaitEndpoints(ctx context.Context, colour release.Colour, size int) error
	Scale(ctx context.Context, colour release.Colour, size int) error
	WaitGone(ctx context.Context, colour release.Colour) error
	DeleteColour(ctx context.Context, colour release.Colour) error
	DeletePreview(ctx context.Context) error
	DeleteRelease(ctx context.Context, id string) error
	Tidy(ctx context.Context, rec *release.Record) error
}

// Agent looks at the application from inside the cluster.
type Agent interface {
	StartAgent(ctx context.Context, rec *release.Record, lifetime time.Duration) error
	WaitAnswers(ctx context.Context, target string, r release.Release, inARow int) (agent.Sighting, error)
	StopAgent(ctx context.Context) error
}

// Locker lets one run at a time work on an application.
type Locker interface {
	// Lock takes the lock for holder. The returned context ends, with cause
	// ErrLockLost, when another holder has it; unlock gives it back.
	Lock(ctx context.Context, holder string) (held context.Context, unlock func(), err error)
}

// Package rollout takes a release to a cluster: an ordered list of steps, each
// with its undo, carried out by a runner that writes down what it is about to do
// and what it has done.
//
// This file is the page to read: the order of everything. Each verb has a file
// of its own name.
package rollout

import (
	"context"
	"time"

	"cutover.dev/ci/agent"
	"cutover.dev/ci/migrate/lint"
	"cutover.dev/ci/plan"
	"cutover.dev/ci/probe"
	"cutover.dev/ci/release"
)

// Steps returns what a deploy or a rollback does, in order; what `migrate contract`
// does stands in contraction.go.
func (d *Deployer) Steps() []Step {
	if len(d.contracting) > 0 {
		return d.contractSteps()
	}
	env := d.Input.Env
	return []Step{
		{Name: "preflight", Timeout: time.Minute, Do: d.preflight, Undo: Reads()},
		{Name: "migrate", Timeout: migrateTimeout(env), Do: d.migrate, Undo: Revert(d.forget)},
		{Name: "raise", Timeout: env.Raise.Timeout, Do: d.watching(d.raise), Undo: Revert(d.lower)},
		{Name: "verify", Timeout: env.Verify.Timeout + d.smokeTimeout() + drainTimeout(env), Do: d.watching(d.verify), Undo: Reads()},
		{Name: "switch", Timeout: env.Verify.Timeout + env.Switch.Overlap, Do: d.watching(d.switchOver), Undo: Revert(d.switchBack)},
		{Name: "verify-live", Timeout: env.Verify.Timeout + d.smokeTimeout(), Do: d.watching(d.verifyLive), Undo: Reads()},
		{Name: "bake", Timeout: 2*env.Bake.For + env.Verify.Timeout, Do: d.watching(d.bake), Undo: Reads()},
		{Name: "retire", Timeout: env.Shutdown.Grace + time.Minute, Do: d.retire, Undo: Final("the old colour is gone: a rollback raises it again")},
	}
}

// Deployer carries out a deploy or a rollback. Its fields are what it works
// with; all but Notify are required.
type Deployer struct {
	Input   plan.Input
	Cluster Cluster
	Agent   Agent
	Store   Store
	Locker  Locker
	// Notify is told of every change, see Runner.
	Notify func(Event)
	// By says who runs it and from where; Label is the caller's own name for the
	// run.
	By, Label string
	// Lint reads the migrations that are named, as one batch. Nil: nothing is read.
	Lint func(names []string) ([]lint.Finding, error)
	// Preview says that only a plan is wanted, with everything that can be looked at.
	Preview bool

	contracting []int64       // of a run that contracts: the versions
	hook        func(*Runner) // what a test changes; nil outside tests
}

// Cluster is what the steps ask of a cluster. Every method may be called again
// after it was interrupted.
type Cluster interface {
	// Watch starts following the application; the waits need it.
	Watch(ctx context.Context) error
	Observe(ctx context.Context) (plan.Observed, error)
	// Inspect returns what could stop a run on its way.
	Inspect(ctx context.Context) (plan.Inspected, error)
	// Check looks, by a short-lived pod, at what only a pod can tell: the database,
	// and whether the release's image can be pulled.
	Check(ctx context.Context, r release.Release, in plan.Input) (plan.Checked, error)
	Releases
	Databases
	Colours
	Traffic
}

// Releases holds what belongs to one release and outlives its pods.
type Releases interface {
	CreateConfig(ctx context.Context, rec *release.Record, secrets map[string]string) error
	// Secrets returns the values of a release's Secret.
	Secrets(ctx context.Context, id string) (map[string]string, error)
	// Smoke runs the release's smoke tests against a Service, by a Job of the
	// target's name, and returns what they said without any secret. The error is
	// that they failed, or could not be run; then the Job stays.
	Smoke(ctx context.Context, rec *release.Record, target, service string) (log string, err error)
	// EndSmoke removes that Job, if there is one.
	EndSmoke(ctx context.Context, rec *release.Record, target string) error
	DeleteRelease(ctx context.Context, id string) error
	Tidy(ctx context.Context, rec *release.Record) error
}

// Databases are changed by Jobs from the release's bundle, one at a time. Each line
// that such a Job prints is told as it comes; the whole is returned.
type Databases interface {
	// Migrate applies what the release brings.
	Migrate(ctx context.Context, rec *release.Record, tell func(line string)) (log string, err error)
	// Contract applies contract migrations of the run's release.
	Contract(ctx context.Context, rec *release.Record, versions []int64, tell func(line string)) (log string, err error)
	// Backup runs the declared backup command; what it printed holds no secret.
	Backup(ctx context.Context, rec *release.Record) (log string, err error)
}

// Colours are the two sets of pods.
type Colours interface {
	// ApplyColour makes the colour's Deployment run the release, without saying by
	// how many pods.
	ApplyColour(ctx context.Context, rec *release.Record) error
	Scale(ctx context.Context, colour release.Colour, size int) error
	// Size returns how many pods the colour shall have; 0 without a Deployment.
	Size(ctx context.Context, colour release.Colour) (int, error)
	// Least returns the minimum of the colour's autoscaler, 0 without one.
	Least(ctx context.Context, colour release.Colour) (int, error)
	// SetLeast applies the release's autoscaler to the colour, if it has one, with
	// that minimum.
	SetLeast(ctx context.Context, r release.Release, colour release.Colour, least int) error
	WaitReady(ctx context.Context, r release.Release, colour release.Colour, size int) error
	// WaitCrash waits until a pod of the release on the colour crashes, or never can
	// live, and returns that as a *Crash; else the cause with which ctx ended.
	WaitCrash(ctx context.Context, r release.Release, colour release.Colour) error
	// EndOne takes one pod of the colour away, down to size pods, and returns its
	// name. Called again before that pod has begun to end, it names the same.
	EndOne(ctx context.Context, colour release.Colour, size int) (pod string, err error)
	WaitEnded(ctx context.Context, pod string) error
	// Park takes the colour's autoscaler away and brings it down to no pods.
	Park(ctx context.Context, colour release.Colour) error
	WaitGone(ctx context.Context, colour release.Colour) error
	DeleteColour(ctx context.Context, colour release.Colour) error
}

// Traffic is where requests go.
type Traffic interface {
	ApplyPreview(ctx context.Context, rec *release.Record) error
	DeletePreview(ctx context.Context) error
	// Select leads the live Service to a colour, provided that it leads to one of
	// from now, or to the wanted one already.
	Select(ctx context.Context, rec *release.Record, to release.Colour, from ...release.Colour) error
	WaitEndpoints(ctx context.Context, colour release.Colour, size int) error
}

// Agent looks at the application from inside the cluster.
type Agent interface {
	StartAgent(ctx context.Context, rec *release.Record, lifetime time.Duration) error
	// Clock returns the agent's time, as it last told. Moments are compared by its
	// clock, never by this machine's.
	Clock(ctx context.Context) (time.Time, error)
	WaitAnswers(ctx context.Context, target string, r release.Release, inARow int) (agent.Sighting, error)
	// WaitProbe calls enough with what the target's prober saw since the moment,
	// now and whenever it saw more, until that returns true or an error.
	WaitProbe(ctx context.Context, target string, since time.Time, enough func(probe.Tally) (bool, error)) error
	// Series returns every second that the target's prober saw.
	Series(target string) []probe.Second
	// Measured returns every answer of Prometheus about a metric.
	Measured(metric string) []agent.Measurement
	StopAgent(ctx context.Context) error
	// Guarded returns what the agent did for the run when nobody else was there,
	// nil if nothing.
	Guarded(ctx context.Context, run string) (*release.GuardReport, error)
}

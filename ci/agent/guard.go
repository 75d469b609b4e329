package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"cutover.dev/ci/probe"
	"cutover.dev/ci/release"
)

// Guard leads the users back when the run's own process, the runner, has died
// after the switch and requests are being lost. It acts at most once, and only
// while nobody else is at work: the Lease names this run and has not been
// renewed. It takes that Lease by compare-and-swap before it writes anything.
type Guard struct {
	Cluster GuardCluster
	// Run is the run that it guards. Whichever process carries that run on has the
	// Lease by a name that tells so, see release.Holder.
	Run string
	// Colour is the one that the run switches to, Previous the one that served
	// before. Without one, on a first release, there is no way back: then the
	// guard only writes down what it saw.
	Colour, Previous release.Colour
	// Tolerated is how many requests may fail after the switch. Default 0.
	Tolerated int
	// MinReady is how many pods of Previous must be ready to be switched to.
	// Default 1: after the loss of some it still serves better than a colour that
	// loses requests.
	MinReady int
}

// GuardCluster is what the guard asks of the cluster. Reads answer or fail at
// once. Writes go on while the API server does not answer, until ctx ends; each
// may be repeated. They wrap ErrConflict when somebody else wrote in between,
// and have written nothing then.
type GuardCluster interface {
	// Lease returns the application's Lease; one that is missing has no holder.
	Lease(ctx context.Context) (Lease, error)
	// Selected returns what the live Service selects: a colour, Both, or None when
	// there is no such Service or its selector is not cutover's.
	Selected(ctx context.Context) (release.Colour, error)
	// ReadyPods returns how many pods of the colour are ready.
	ReadyPods(ctx context.Context, colour release.Colour) (int, error)
	// Reported returns the report that was written last, nil if there is none.
	Reported(ctx context.Context) (*release.GuardReport, error)

	// TakeLease renews the Lease under holder's name, if it still is as seen.
	TakeLease(ctx context.Context, seen Lease, holder string) (Lease, error)
	// Report overwrites the report.
	Report(ctx context.Context, report release.GuardReport) error
	// SwitchBack lets the live Service lead from the one colour, or Both, to the
	// other. It is done when it does so already.
	SwitchBack(ctx context.Context, from, to release.Colour) error
	// DropLease gives the Lease back if it is holder's.
	DropLease(ctx context.Context, holder string) error
}

// ErrConflict says that somebody else is at work.
var ErrConflict = errors.New("somebody else is at work")

// Lease is what the guard needs to know of the application's Lease.
type Lease struct {
	// Holder is empty when nobody has it.
	Holder string
	// Renewed is when its holder renewed it last, by the holder's clock: good for
	// comparing it with itself only.
	Renewed time.Time
	// Duration is how long it lasts after that.
	Duration time.Duration
	// Version is the object's, for compare-and-swap.
	Version string
}

const (
	// guardPoll lies between two looks at the cluster. Each is a get of two objects
	// by name: a watch would need the right to watch, which cannot be granted for
	// one name alone.
	guardPoll = 2 * time.Second
	// lookTimeout bounds one look.
	lookTimeout = 5 * time.Second
	// blind is the longest time between two looks that counts against the Lease.
	// After a longer one, in which the API server did not answer, the Lease gets its
	// whole time again: its holder may be well and have had no chance to renew it.
	blind = guardPoll + lookTimeout
	// dark is how many seconds without one answered request are bad whatever is
	// tolerated.
	dark = 10
	// attempt bounds one try to switch. It is shorter than the Lease, so that the
	// Lease, renewed before each, cannot have become another's meanwhile.
	attempt = 5 * time.Second
)

// guard is a Guard at work. add may be called from any goroutine; the rest
// belongs to run.
type guard struct {
	Guard
	say      func(string)
	switched func()

	lease Lease
	since time.Time // from when on the Lease was seen as it is
	seen  time.Time // the last look
	told  string

	mu    sync.Mutex
	tally *probe.Tally // nil unless the live Service leads to Colour
	dark  int          // seconds in a row without an answered request
}

// newGuard returns a guard that tells every change of its mind to say. switched
// is called when users may have been led to the new colour: who joins only then
// must not wait for an answer that may never come.
func newGuard(g Guard, say func(string), switched func()) *guard {
	return &guard{Guard: g, say: say, switched: switched}
}

// name is the one by which the guard has the Lease: to the runner it is another
// holder's, and so the loss of its own.
func (g *guard) name() string { return "agent/" + g.Run }

// run guards until ctx ends or there is nothing left to guard.
func (g *guard) run(ctx context.Context) {
	g.tell("guarding run %s: from %s to %s", g.Run, g.Previous, g.Colour)
	tick := time.NewTicker(guardPoll)
	defer tick.Stop()
	for !g.look(ctx) {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (g *guard) tell(format string, args ...any) {
	if what := fmt.Sprintf(format, args...); what != g.told {
		g.told = what
		g.say(what)
	}
}

// add counts one more second of the live prober.
func (g *guard) add(s probe.Second) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.tally == nil {
		return
	}
	g.tally.Add(s)
	if g.dark++; s.OK > 0 {
		g.dark = 0
	}
}

// look looks at the cluster once, acts if there is reason to, and reports
// whether that was the end of it.
func (g *guard) look(ctx context.Context) (done bool) {
	report, err := g.reason(ctx)
	switch {
	case ctx.Err() != nil:
		return true
	case err != nil:
		g.tell("cannot look: %s", err)
		return false
	case report == nil:
		return false
	}
	if err := g.act(ctx, *report); err != nil && ctx.Err() == nil {
		g.tell("stopped: %s", err)
	}
	return true
}

// reason returns what there is to report and to act on, nil while there is
// nothing. The error is that of a read.
func (g *guard) reason(ctx context.Context) (*release.GuardReport, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	if err := g.observe(ctx); err != nil {
		return nil, err
	}
	report, err := g.unfinished(ctx)
	if err != nil {
		return nil, err
	}
	if report == nil {
		report = g.judge()
	}
	if report == nil || report.State != release.GuardIntended {
		return report, nil
	}
	ready, err := g.Cluster.ReadyPods(ctx, g.Previous)
	if err != nil {
		return nil, err
	}
	if need := max(1, g.MinReady); ready < need {
		g.tell("the runner is gone and requests are lost, but only %d pods of %s are ready, fewer than %d", ready, g.Previous, need)
		return nil, nil
	}
	return report, nil
}

// observe looks at the Lease and the live Service. Both clocks are this
// machine's: how far another is off makes no difference.
func (g *guard) observe(ctx context.Context) error {
	lease, err := g.Cluster.Lease(ctx)
	if err != nil {
		return err
	}
	selected, err := g.Cluster.Selected(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	if lease.Holder != g.lease.Holder || !lease.Renewed.Equal(g.lease.Renewed) || now.Sub(g.seen) > blind {
		g.since = now
	}
	g.lease, g.seen = lease, now
	// With Both the switch has begun.
	g.count(selected == g.Colour || selected == release.Both, now)
	return nil
}

// count begins a tally with the switch and forgets it when it is taken back.
func (g *guard) count(switched bool, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case !switched:
		g.tally, g.dark = nil, 0
	case g.tally == nil:
		g.tally = &probe.Tally{From: now.UTC().Round(0)}
		// A first release's Service leads nowhere in its first moments, which loses
		// nothing that anybody had: there the first answer is waited for.
		if g.Previous != release.None {
			g.switched()
		}
	}
}

// unfinished returns what the guard, started again since, has still to do: the
// Lease is its own, and so is the report.
func (g *guard) unfinished(ctx context.Context) (*release.GuardReport, error) {
	if g.lease.Holder != g.name() {
		return nil, nil
	}
	report, err := g.Cluster.Reported(ctx)
	if err != nil || report == nil || report.Run != g.Run {
		return nil, err
	}
	return report, nil
}

// judge returns the reason to act, nil while a condition for it is missing, and
// tells which.
func (g *guard) judge() *release.GuardReport {
	tally, lost := g.verdict()
	switch own := g.lease.Holder == g.name(); {
	case g.lease.Holder == "":
		g.tell("the run has ended: nobody holds the Lease")
	case !own && release.HolderRun(g.lease.Holder) != g.Run:
		g.tell("%s is at work", g.lease.Holder)
	case !own && time.Since(g.since) < g.lease.Duration:
		g.tell("the runner is at work")
	case tally == nil:
		g.tell("the runner is gone; users are not led to %s", g.Colour)
	case lost == nil:
		g.tell("the runner is gone; nothing speaks against %s", g.Colour)
	default:
		report := &release.GuardReport{
			Run: g.Run, State: release.GuardIntended, Evidence: lost.Error(), From: g.Colour, To: g.Previous, Tally: tally,
		}
		if g.Previous == release.None {
			report.State = release.GuardRecorded
		}
		return report
	}
	return nil
}

// verdict returns what was counted since the switch, nil before it, and what is
// bad about it. Too few requests are no evidence against anybody.
func (g *guard) verdict() (*probe.Tally, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.tally == nil {
		return nil, nil
	}
	tally := g.tally.Clone()
	if err := tally.Verdict(1, g.Tolerated); errors.Is(err, probe.ErrLost) {
		return &tally, err
	}
	if g.dark >= dark {
		return &tally, fmt.Errorf("%w: none was answered for %d seconds", probe.ErrLost, g.dark)
	}
	return &tally, nil
}

// act brings what the report says to its end, and gives the Lease back. After a
// conflict it writes nothing more: whoever is at work now decides.
func (g *guard) act(ctx context.Context, report release.GuardReport) error {
	if report.State == release.GuardRecorded {
		return g.write(ctx, report)
	}
	err := g.finish(ctx, report)
	if errors.Is(err, ErrConflict) || ctx.Err() != nil {
		return err // the Lease runs out by itself
	}
	return errors.Join(err, g.Cluster.DropLease(ctx, g.name()))
}

// finish takes the Lease, writes the intent, switches back and writes the
// outcome. It enters again wherever the report says that it was interrupted.
func (g *guard) finish(ctx context.Context, report release.GuardReport) error {
	if report.State != release.GuardIntended {
		return nil // only the Lease was not given back yet
	}
	if err := g.hold(ctx); err != nil {
		return err
	}
	if err := g.write(ctx, report); err != nil {
		return err
	}
	err := g.switchBack(ctx)
	switch {
	case errors.Is(err, ErrConflict), ctx.Err() != nil:
		return err
	case err != nil:
		report.State, report.Error = release.GuardFailed, err.Error()
	default:
		report.State = release.GuardSwitchedBack
	}
	return g.write(ctx, report)
}

func (g *guard) write(ctx context.Context, report release.GuardReport) error {
	report.At = time.Now().UTC().Round(0)
	if err := g.Cluster.Report(ctx, report); err != nil {
		return err
	}
	why := report.Evidence
	if report.Error != "" {
		why = report.Error
	}
	g.tell("%s: from %s back to %s: %s", report.State, report.From, report.To, why)
	return nil
}

// hold takes the Lease, or renews it.
func (g *guard) hold(ctx context.Context) error {
	lease, err := g.Cluster.TakeLease(ctx, g.lease, g.name())
	if err == nil {
		g.lease = lease
	}
	return err
}

// switchBack tries until there is an answer, with a fresh Lease each time: an
// API server that comes back late may have given it to somebody else.
func (g *guard) switchBack(ctx context.Context) error {
	for {
		if err := g.hold(ctx); err != nil {
			return err
		}
		try, cancel := context.WithTimeout(ctx, attempt)
		err := g.Cluster.SwitchBack(try, g.Colour, g.Previous)
		unanswered := err != nil && try.Err() != nil && ctx.Err() == nil
		cancel()
		if !unanswered {
			return err
		}
	}
}

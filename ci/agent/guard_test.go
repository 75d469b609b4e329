package agent

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"cutover.dev/ci/probe"
	"cutover.dev/ci/release"
)

const (
	runner  = "ann run RUN process AAAAAA"
	guarded = "agent/RUN"
	lasts   = 15 * time.Second
)

// fakeCluster is a cluster in memory. It compares before it swaps, and writes
// down every write.
type fakeCluster struct {
	mu       sync.Mutex
	lease    Lease
	version  int
	selected release.Colour
	ready    map[release.Colour]int
	report   *release.GuardReport
	writes   []string

	// What goes wrong. Nothing answers while away; before is called in front of
	// each write, with the lock held.
	away   bool
	before func(write string) error
}

func newFakeCluster() *fakeCluster {
	f := &fakeCluster{selected: release.Green, ready: map[release.Colour]int{release.Blue: 2, release.Green: 2}}
	f.renew(runner)
	return f
}

func (f *fakeCluster) renew(holder string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.put(holder, time.Now())
}

func (f *fakeCluster) put(holder string, renewed time.Time) {
	f.version++
	f.lease = Lease{Holder: holder, Renewed: renewed, Duration: lasts, Version: strconv.Itoa(f.version)}
}

func (f *fakeCluster) change(change func(*fakeCluster)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fakeCluster) written() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.writes...)
}

var errAway = errors.New("the API server does not answer")

func (f *fakeCluster) read() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return errAway
	}
	return nil
}

// write waits for the API server, as every implementation does.
func (f *fakeCluster) write(ctx context.Context, what string, do func() error) error {
	for f.read() != nil {
		select {
		case <-ctx.Done():
			return errAway
		case <-time.After(time.Second):
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.before != nil {
		if err := f.before(what); err != nil {
			return err
		}
	}
	if err := do(); err != nil {
		return err
	}
	f.writes = append(f.writes, what)
	return nil
}

func (f *fakeCluster) Lease(context.Context) (Lease, error) {
	err := f.read()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lease, err
}

func (f *fakeCluster) Selected(context.Context) (release.Colour, error) {
	err := f.read()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.selected, err
}

func (f *fakeCluster) ReadyPods(_ context.Context, c release.Colour) (int, error) {
	err := f.read()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ready[c], err
}

func (f *fakeCluster) Reported(context.Context) (*release.GuardReport, error) {
	err := f.read()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.report, err
}

func (f *fakeCluster) TakeLease(ctx context.Context, seen Lease, holder string) (Lease, error) {
	err := f.write(ctx, "take the lease", func() error {
		if seen.Version != f.lease.Version {
			return ErrConflict
		}
		f.put(holder, time.Now())
		return nil
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lease, err
}

func (f *fakeCluster) Report(ctx context.Context, r release.GuardReport) error {
	return f.write(ctx, "report "+string(r.State), func() error {
		f.report = &r
		return nil
	})
}

func (f *fakeCluster) SwitchBack(ctx context.Context, from, to release.Colour) error {
	return f.write(ctx, fmt.Sprintf("switch %s to %s", from, to), func() error {
		if f.selected != from && f.selected != release.Both && f.selected != to {
			return ErrConflict
		}
		f.selected = to
		return nil
	})
}

func (f *fakeCluster) DropLease(ctx context.Context, holder string) error {
	return f.write(ctx, "drop the lease", func() error {
		if f.lease.Holder == holder {
			f.put("", time.Time{})
		}
		return nil
	})
}

// scene is a guard at work, with a prober and a runner that can be killed.
type scene struct {
	t       *testing.T
	cluster *fakeCluster
	guard   *guard
	said    []string
	ended   chan struct{}
	stop    func()

	mu     sync.Mutex
	fails  bool // requests are lost
	silent bool // the prober sees nothing at all
	alive  bool // the runner renews its Lease
}

// guarding starts a guard whose runner is alive and whose users are well.
func guarding(t *testing.T, cluster *fakeCluster, change func(*Guard)) *scene {
	t.Helper()
	g := Guard{Cluster: cluster, Run: "RUN", Colour: release.Green, Previous: release.Blue}
	change(&g)
	s := &scene{t: t, cluster: cluster, alive: true, ended: make(chan struct{})}
	s.guard = newGuard(g, func(what string) { s.said = append(s.said, what) }, func() {})
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { s.guard.run(ctx); close(s.ended) })
	all.Go(func() { s.every(ctx, time.Second, s.second) })
	all.Go(func() { s.every(ctx, 2*time.Second, s.renew) })
	s.stop = func() { cancel(); all.Wait() }
	t.Cleanup(s.stop)
	return s
}

func (s *scene) every(ctx context.Context, d time.Duration, do func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do()
		}
	}
}

func (s *scene) second() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.silent {
		return
	}
	sec := probe.Second{At: time.Now().UTC().Truncate(time.Second).Add(-time.Second), Count: probe.Count{Sent: 20, OK: 20}}
	if s.fails {
		sec.Count = probe.Count{Sent: 20, Failed: 20}
		sec.Failures = map[probe.Kind]int{probe.Status: 20}
	}
	s.guard.add(sec)
}

// renew does what a runner does: it renews while the Lease still is its own.
func (s *scene) renew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.alive && s.cluster.read() == nil {
		s.cluster.change(func(f *fakeCluster) {
			if f.lease.Holder == runner {
				f.put(runner, time.Now())
			}
		})
	}
}

// now changes what goes on.
func (s *scene) now(change func(*scene)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func dies(s *scene)  { s.alive = false }
func loses(s *scene) { s.fails = true }

// diesWhileItLoses is the one case in which a guard acts.
func diesWhileItLoses(s *scene) { s.alive, s.fails = false, true }

// acts is all that a guard writes when it acts.
var acts = []string{
	"take the lease", "report intended",
	"take the lease", "switch green to blue",
	"report switched back", "drop the lease",
}

func unchanged(*Guard) {}

func TestTheGuardSwitchesBackOnceWhenTheRunnerHasDiedAndRequestsAreLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		s := guarding(t, f, unchanged)
		time.Sleep(time.Minute)
		require.Empty(t, f.written())

		died := time.Now()
		s.now(diesWhileItLoses)
		<-s.ended
		require.GreaterOrEqual(t, time.Since(died), lasts-2*time.Second, "the Lease had its time")
		require.LessOrEqual(t, time.Since(died), lasts+2*guardPoll)
		require.Equal(t, acts, f.written())
		require.Equal(t, release.Blue, f.selected)
		require.Empty(t, f.lease.Holder)

		require.Equal(t, "RUN", f.report.Run)
		require.Equal(t, release.GuardSwitchedBack, f.report.State)
		require.Equal(t, release.Green, f.report.From)
		require.Equal(t, release.Blue, f.report.To)
		require.Contains(t, f.report.Evidence, "requests were lost: ")
		require.Positive(t, f.report.Tally.Failed)
		require.WithinDuration(t, time.Now(), f.report.At, 0)

		time.Sleep(time.Hour)
		require.Equal(t, acts, f.written())
		s.stop()
		require.Equal(t, []string{
			"guarding run RUN: from blue to green",
			"the runner is at work",
			"intended: from green back to blue: " + f.report.Evidence,
			"switched back: from green back to blue: " + f.report.Evidence,
		}, s.said)
	})
}

func TestTheGuardNeverActsWhileOneConditionIsMissing(t *testing.T) {
	for name, c := range map[string]struct {
		guard   func(*Guard)
		cluster func(*fakeCluster)
		happens func(*scene)
		says    string
	}{
		"the runner lives":                    {happens: loses, says: "the runner is at work"},
		"no request is lost":                  {happens: dies, says: "the runner is gone; nothing speaks against green"},
		"as many are lost as are tolerated":   {happens: func(s *scene) { dies(s); s.guard.add(lossy(3)) }, guard: func(g *Guard) { g.Tolerated = 3 }, says: "nothing speaks against green"},
		"nobody watched":                      {happens: func(s *scene) { dies(s); s.silent = true }, says: "nothing speaks against green"},
		"the switch has not come yet":         {happens: diesWhileItLoses, cluster: func(f *fakeCluster) { f.selected = release.Blue }, says: "users are not led to green"},
		"there is no Service, or a foreign":   {happens: diesWhileItLoses, cluster: func(f *fakeCluster) { f.selected = release.None }, says: "users are not led to green"},
		"another run has the Lease":           {happens: diesWhileItLoses, cluster: func(f *fakeCluster) { f.lease.Holder = "bob run OTHER process BBBBBB" }, says: "bob run OTHER process BBBBBB is at work"},
		"another agent has the Lease":         {happens: diesWhileItLoses, cluster: func(f *fakeCluster) { f.lease.Holder = "agent/OTHER" }, says: "agent/OTHER is at work"},
		"nobody has the Lease":                {happens: diesWhileItLoses, cluster: func(f *fakeCluster) { f.lease.Holder = "" }, says: "the run has ended"},
		"the previous colour is gone":         {happens: diesWhileItLoses, cluster: func(f *fakeCluster) { f.ready[release.Blue] = 0 }, says: "only 0 pods of blue are ready, fewer than 1"},
		"the previous colour is not ready":    {happens: diesWhileItLoses, guard: func(g *Guard) { g.MinReady = 3 }, says: "only 2 pods of blue are ready, fewer than 3"},
		"the API server is away all the time": {happens: diesWhileItLoses, cluster: func(f *fakeCluster) { f.away = true }, says: "cannot look: the API server does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeCluster()
				if c.cluster != nil {
					c.cluster(f)
				}
				before := f.selected
				s := guarding(t, f, func(g *Guard) {
					if c.guard != nil {
						c.guard(g)
					}
				})
				time.Sleep(5 * time.Second)
				s.now(c.happens)
				time.Sleep(10 * time.Minute)
				require.Empty(t, f.written())
				require.Equal(t, before, f.selected)
				s.stop()
				require.Contains(t, s.said[len(s.said)-1], c.says)
			})
		})
	}
}

// lossy is a second in which some requests failed.
func lossy(failed int) probe.Second {
	return probe.Second{At: time.Now().UTC().Truncate(time.Second), Count: probe.Count{Sent: 20, OK: 20 - failed, Failed: failed}}
}

func TestTenSecondsWithoutAnAnswerAreBadWhateverIsTolerated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		s := guarding(t, f, func(g *Guard) { g.Tolerated = 1 << 30 })
		s.now(dies)
		time.Sleep(time.Minute + 500*time.Millisecond) // between two seconds
		for range 10 {                                 // nine dark ones in a row are not ten
			s.now(loses)
			time.Sleep(9 * time.Second)
			s.now(func(s *scene) { s.fails = false })
			time.Sleep(time.Second)
		}
		require.Empty(t, f.written())
		s.now(loses)
		<-s.ended
		require.Equal(t, acts, f.written())
		require.Regexp(t, `^requests were lost: none was answered for 1[0-9] seconds$`, f.report.Evidence)
	})
}

func TestOnlyRequestsSinceTheSwitchCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		f.selected = release.Blue
		s := guarding(t, f, unchanged)
		s.now(loses)
		time.Sleep(30 * time.Second)
		s.now(func(s *scene) { s.fails = false })
		time.Sleep(30 * time.Second)
		f.change(func(f *fakeCluster) { f.selected = release.Green })
		time.Sleep(30 * time.Second)
		s.now(dies)
		time.Sleep(time.Minute)
		require.Empty(t, f.written(), "the old colour's failures are not the new one's")

		s.now(loses)
		<-s.ended
		require.Equal(t, acts, f.written())
	})
}

func TestASwitchThatWasTakenBackIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		s := guarding(t, f, unchanged)
		s.now(loses)
		time.Sleep(10 * time.Second)
		f.change(func(f *fakeCluster) { f.selected = release.Blue }) // by the runner
		time.Sleep(10 * time.Second)
		s.now(func(s *scene) { s.alive, s.fails = false, false })
		f.change(func(f *fakeCluster) { f.selected = release.Green })
		time.Sleep(time.Minute)
		require.Empty(t, f.written())
	})
}

func TestTheOverlapCountsAsSwitched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		f.selected = release.Both
		s := guarding(t, f, unchanged)
		s.now(diesWhileItLoses)
		<-s.ended
		require.Equal(t, acts, f.written())
		require.Equal(t, release.Blue, f.selected)
	})
}

func TestARunThatAnotherProcessCarriesOnIsGuardedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		s := guarding(t, f, unchanged)
		s.now(diesWhileItLoses)
		time.Sleep(10 * time.Second)
		f.change(func(f *fakeCluster) { f.put("bob run RUN process BBBBBB", f.lease.Renewed) })
		time.Sleep(10 * time.Second)
		require.Empty(t, f.written(), "its Lease has its whole time")
		<-s.ended
		require.Equal(t, acts, f.written())
	})
}

func TestAClockThatIsWrongMakesNoDifference(t *testing.T) {
	for _, skew := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeCluster()
			s := guarding(t, f, unchanged)
			s.now(diesWhileItLoses) // renewed below, by a runner elsewhere
			for range 60 {
				f.change(func(f *fakeCluster) { f.put(runner, time.Now().Add(skew)) })
				time.Sleep(2 * time.Second)
			}
			require.Empty(t, f.written(), "it is renewed, however old or new it claims to be")
			died := time.Now()
			<-s.ended
			require.InDelta(t, lasts.Seconds(), time.Since(died).Seconds(), 4)
			require.Equal(t, acts, f.written())
		})
	}
}

func TestAfterAnOutageTheLeaseGetsItsWholeTimeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		s := guarding(t, f, unchanged)
		s.now(loses)
		f.change(func(f *fakeCluster) { f.away = true })
		time.Sleep(10 * time.Minute) // no runner could renew
		f.change(func(f *fakeCluster) { f.away = false })
		time.Sleep(10 * time.Minute)
		require.Empty(t, f.written(), "the runner lives")

		s.now(dies)
		f.change(func(f *fakeCluster) { f.away = true })
		time.Sleep(10 * time.Minute)
		f.change(func(f *fakeCluster) { f.away = false })
		back := time.Now()
		<-s.ended
		require.GreaterOrEqual(t, time.Since(back), lasts)
		require.Equal(t, acts, f.written())
		require.Contains(t, s.said, "cannot look: the API server does not answer")
	})
}

func TestAnOutageAtAnyMomentOfTheActIsWaitedFor(t *testing.T) {
	for _, at := range acts {
		t.Run(at, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeCluster()
				f.before = func(what string) error {
					if what != at {
						return nil
					}
					f.before = nil
					f.away = true
					time.AfterFunc(time.Minute, func() { f.change(func(f *fakeCluster) { f.away = false }) })
					return nil // this one was carried out
				}
				s := guarding(t, f, unchanged)
				s.now(diesWhileItLoses)
				<-s.ended
				require.Equal(t, release.Blue, f.selected)
				require.Equal(t, release.GuardSwitchedBack, f.report.State)
				require.Equal(t, acts, f.written())
			})
		})
	}
}

func TestASwitchThatWaitsForTheAPIServerKeepsTheLeaseFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		tries := 0
		f.before = func(what string) error {
			if what == "switch green to blue" {
				assert.Equal(t, guarded, f.lease.Holder)
				assert.Zero(t, time.Since(f.lease.Renewed), "nobody else can have it yet")
				if tries++; tries < 4 {
					f.mu.Unlock()
					time.Sleep(attempt + time.Millisecond)
					f.mu.Lock()
					return errAway
				}
			}
			return nil
		}
		s := guarding(t, f, unchanged)
		s.now(diesWhileItLoses)
		<-s.ended
		require.Equal(t, 4, tries)
		require.Equal(t, release.GuardSwitchedBack, f.report.State)
	})
}

func TestAnotherHolderDuringTheActEndsItAndNothingMoreIsWritten(t *testing.T) {
	for name, c := range map[string]struct {
		before string
		want   []string
	}{
		"at the first write":           {"take the lease", nil},
		"between intent and the patch": {"report intended", acts[:2]},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeCluster()
				f.before = func(what string) error {
					if what == c.before {
						f.before = nil
						f.put("bob run OTHER process BBBBBB", time.Now())
					}
					return nil
				}
				s := guarding(t, f, unchanged)
				s.now(diesWhileItLoses)
				<-s.ended
				time.Sleep(time.Hour)
				require.Equal(t, c.want, f.written())
				require.Equal(t, release.Green, f.selected)
				require.Equal(t, "bob run OTHER process BBBBBB", f.lease.Holder)
				s.stop()
				require.Equal(t, "stopped: somebody else is at work", s.said[len(s.said)-1])
			})
		})
	}
}

func TestAConflictAtAnyWriteIsTheLastWrite(t *testing.T) {
	for i, at := range acts {
		t.Run(fmt.Sprint(i, " ", at), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeCluster()
				n := 0
				f.before = func(string) error {
					if n++; n == i+1 {
						return fmt.Errorf("%s: %w", at, ErrConflict)
					}
					return nil
				}
				s := guarding(t, f, unchanged)
				s.now(diesWhileItLoses)
				<-s.ended
				require.Len(t, f.written(), i)
				require.Equal(t, i+1, n, "nothing was tried after it")
				s.stop()
				require.Equal(t, "stopped: "+at+": somebody else is at work", s.said[len(s.said)-1])
			})
		})
	}
}

func TestASwitchThatIsForbiddenIsReportedAndTheLeaseGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		f.before = func(what string) error {
			if what == "switch green to blue" {
				return errors.New("forbidden")
			}
			return nil
		}
		s := guarding(t, f, unchanged)
		s.now(diesWhileItLoses)
		<-s.ended
		require.Equal(t, []string{"take the lease", "report intended", "take the lease", "report failed", "drop the lease"}, f.written())
		require.Equal(t, "forbidden", f.report.Error)
		require.Contains(t, f.report.Evidence, "requests were lost")
		require.Empty(t, f.lease.Holder)
	})
}

func TestWithoutItsIntentWrittenTheGuardDoesNotSwitch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		f.before = func(what string) error {
			if what == "report intended" {
				return errors.New("there is no such ConfigMap")
			}
			return nil
		}
		s := guarding(t, f, unchanged)
		s.now(diesWhileItLoses)
		<-s.ended
		require.Equal(t, []string{"take the lease", "drop the lease"}, f.written())
		require.Equal(t, release.Green, f.selected)
		s.stop()
		require.Equal(t, "stopped: there is no such ConfigMap", s.said[len(s.said)-1])
	})
}

func TestOnAFirstReleaseTheGuardOnlyRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		s := guarding(t, f, func(g *Guard) { g.Previous = release.None })
		s.now(diesWhileItLoses)
		<-s.ended
		require.Equal(t, []string{"report recorded"}, f.written())
		require.Equal(t, release.Green, f.selected)
		require.Equal(t, runner, f.lease.Holder)
		require.Contains(t, f.report.Evidence, "requests were lost")
		require.Equal(t, release.None, f.report.To)
	})
}

func TestAGuardThatIsStartedAgainFinishesWhatItBegan(t *testing.T) {
	intent := release.GuardReport{Run: "RUN", State: release.GuardIntended, Evidence: "as it was", From: release.Green, To: release.Blue}
	done := intent
	done.State = release.GuardSwitchedBack
	foreign := intent
	foreign.Run = "OTHER"
	for name, c := range map[string]struct {
		holder   string
		report   *release.GuardReport
		selected release.Colour
		want     []string
		end      release.Colour
	}{
		"killed before the switch":      {guarded, &intent, release.Green, acts, release.Blue},
		"killed after the switch":       {guarded, &intent, release.Blue, acts, release.Blue},
		"killed after the outcome":      {guarded, &done, release.Blue, []string{"drop the lease"}, release.Blue},
		"somebody else came meanwhile":  {"bob run OTHER process BBBBBB", &intent, release.Green, nil, release.Green},
		"the Lease was given back":      {"", &intent, release.Green, nil, release.Green},
		"the report is another run's":   {guarded, &foreign, release.Green, nil, release.Green},
		"killed before it wrote at all": {guarded, nil, release.Green, nil, release.Green},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeCluster()
				f.put(c.holder, time.Now())
				f.selected, f.report = c.selected, c.report
				s := guarding(t, f, unchanged)
				s.now(dies) // but no request is lost now
				time.Sleep(time.Minute)
				require.Equal(t, c.want, f.written())
				require.Equal(t, c.end, f.selected)
				if len(c.want) > 0 {
					require.Equal(t, release.GuardSwitchedBack, f.report.State)
					require.Equal(t, "as it was", f.report.Evidence)
					require.Empty(t, f.lease.Holder)
				}
			})
		})
	}
}

func TestAGuardThatTookTheLeaseAndDiedActsOnWhatItSeesAfterItsRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		f.renew(guarded)
		s := guarding(t, f, unchanged)
		s.now(diesWhileItLoses)
		<-s.ended
		require.Equal(t, acts, f.written())
	})
}

func TestItIsToldOnceThatUsersAreLedToTheNewColour(t *testing.T) {
	for previous, want := range map[release.Colour]int{release.Blue: 1, release.None: 0} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeCluster()
			f.selected = release.Blue
			told := 0
			g := newGuard(Guard{Cluster: f, Run: "RUN", Colour: release.Green, Previous: previous}, func(string) {}, func() { told++ })
			require.False(t, g.look(t.Context()))
			require.Zero(t, told)
			f.selected = release.Green
			for range 3 {
				require.False(t, g.look(t.Context()))
			}
			require.Equal(t, want, told)
		})
	}
}

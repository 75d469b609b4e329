package rollout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cutover.dev/ci/agent"
	"cutover.dev/ci/config"
	"cutover.dev/ci/migrate"
	"cutover.dev/ci/outcome"
	"cutover.dev/ci/plan"
	"cutover.dev/ci/probe"
	"cutover.dev/ci/release"
)

// world is a cluster in memory with one application, its lock and its records.
// After every write it checks what must always hold, and fails the test with
// the history of calls when it does not.
type world struct {
	t  *testing.T
	mu sync.Mutex

	// selects is what the live Service selects; None: there is no Service.
	selects release.Colour
	preview release.Colour
	colours map[release.Colour]*pods
	configs map[string]map[string]string // release ID to its secrets
	agent   string                       // the run whose agent is there
	guarded *release.GuardReport
	holder  string
	stop    string // who asked the holder to go back
	lose    context.CancelCauseFunc

	head     []byte // the current record, as it is stored
	revision int
	archive  []*release.Record
	// schema is the database's version, contracted what was taken from it, deferred
	// what waits to be, and drifted what speaks against touching it.
	schema     int64
	contracted []int64
	deferred   []string
	drifted    []migrate.Problem

	// enough is how many pods the serving colour must have ready.
	enough int
	// served says that a release succeeded: from then on something always serves.
	served bool
	// bare: only the store is of interest, there is no application to look after.
	bare bool
	// sick are the versions whose pods never become ready, lossy those that lose
	// requests while they serve, abrupt those that lose them when a pod ends.
	sick, lossy, abrupt map[string]bool
	// crashes are closed when a pod of the version crashes.
	crashes map[string]chan struct{}
	// smokes tell at which target the smoke tests of a version fail; smoke is the
	// target whose Job is there.
	smokes map[string]string
	smoke  string
	// measured is what Prometheus answered.
	measured map[string][]agent.Measurement
	// inspected is what could stop a run.
	inspected plan.Inspected
	// unheld is how many pods end first that hold none of the prober's kept
	// connections.
	unheld int
	// grow is called before a write of the selector: what an autoscaler does in the
	// last moment.
	grow func()
	// seconds are what the agent's prober saw, if not the usual.
	seconds []probe.Second
	// lost is how many requests the agent has seen fail.
	lost int
	// clock is the agent's.
	clock time.Time

	calls []string
	// complain is told what is wrong, instead of the test.
	complain func(string)
}

// abandon lets go of what a killed process held.
func (w *world) abandon() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holder = ""
}

func (w *world) errorf(format string, args ...any) {
	if w.complain != nil {
		w.complain(fmt.Sprintf(format, args...))
		return
	}
	w.t.Errorf(format, args...)
}

// pods is a colour's Deployment with its pods.
type pods struct {
	release     release.Release
	size, ready int
	least       int // its autoscaler's minimum, 0 without one
}

func newWorld(t *testing.T) *world {
	return &world{t: t, enough: 3, colours: map[release.Colour]*pods{}, configs: map[string]map[string]string{},
		sick: map[string]bool{}, lossy: map[string]bool{}, abrupt: map[string]bool{}, clock: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
}

const secretValue = "postgres://notes:correct-horse@db/notes"

func input(version string) plan.Input {
	return plan.Input{
		Env: config.Env{
			Name: "prod", App: "notes", Namespace: "notes-prod", Port: 8080, Replicas: 3,
			Health:     config.Health{Ready: "/readyz", Live: "/livez", Version: "/version"},
			Secrets:    config.Secrets{Required: []string{"DATABASE_URL"}},
			Migrations: &config.Migrations{Dir: "sql", Engine: "postgres", DSN: "DATABASE_URL", Timeout: time.Minute},
			Raise:      config.Raise{Timeout: time.Minute},
			Verify:     config.Verify{Answers: 20, Timeout: time.Minute, Drain: true},
			Smoke:      &config.Smoke{Package: "./smoke", Timeout: time.Minute},
			Probe:      config.Probe{Rate: 20, Read: "/notes", Timeout: time.Second, Samples: 20},
			Bake:       config.Bake{For: time.Minute},
			Shutdown:   config.Shutdown{Sleep: time.Second, Grace: 5 * time.Second},
		},
		Version:    version,
		Image:      "registry.example.com/notes@sha256:" + strings.Repeat("a", 50) + fmt.Sprintf("%014x", version),
		Bundle:     "registry.example.com/notes@sha256:" + strings.Repeat("b", 64),
		Migrations: migrations(version),
		Secrets:    map[string]string{"DATABASE_URL": secretValue},
	}
}

// migrations are those of a version: each version brings one.
func migrations(version string) (files []migrate.File) {
	last, err := strconv.ParseInt(version, 10, 64)
	if err != nil {
		last = 1
	}
	for v := int64(1); v <= last; v++ {
		name := fmt.Sprintf("%d_more.sql", v)
		if v == 1 {
			name = "1_notes.sql"
		}
		files = append(files, migrate.File{Version: v, Name: name, Phase: migrate.Expand, Hash: name})
	}
	return files
}

// session is one process at work on the world.
type session struct {
	*world
	// trouble is asked before and after every call's effect; an error is the call's.
	trouble func(call string, after bool) error
	// killAt and killAfter end the process before or after the effect of its call
	// of that number; -1: never. From then on nothing it does has any effect.
	killAt    int
	killAfter bool
	dead      bool
	made      int

	revision int // of the record as this process knows it
	// follows is the run whose agent this process listens to.
	follows string
	events  []Event
}

var (
	_ Cluster = (*session)(nil)
	_ Agent   = (*session)(nil)
	_ Store   = (*session)(nil)
	_ Locker  = (*session)(nil)
)

var errKilled = errors.New("killed")

func (w *world) session() *session { return &session{world: w, killAt: -1} }

func (s *session) deployer(in plan.Input) *Deployer {
	return &Deployer{Input: in, Cluster: s, Agent: s, Store: s, Locker: s, By: "a test",
		Notify: func(e Event) { s.events = append(s.events, e) }}
}

// deploy takes a version to the world, by a process that nothing happens to.
func (w *world) deploy(version string) (*release.Record, error) {
	return w.session().deployer(input(version)).Deploy(context.Background())
}

// worldWith is a world in which the versions were deployed one after the other.
func worldWith(t *testing.T, versions ...string) *world {
	t.Helper()
	w := newWorld(t)
	for _, v := range versions {
		_, err := w.deploy(v)
		require.NoError(t, err)
	}
	return w
}

// call carries out one call's effect and all that may happen around it.
func (s *session) call(ctx context.Context, name string, effect func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return errKilled
	}
	number := s.made
	s.made++
	if number == s.killAt && !s.killAfter {
		s.dead = true
		return errKilled
	}
	if s.trouble != nil {
		if err := s.trouble(name, false); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	s.calls = append(s.calls, name)
	if err := effect(); err != nil {
		return err
	}
	s.check(name)
	if number == s.killAt {
		s.dead = true
		return errKilled
	}
	if s.trouble != nil {
		return s.trouble(name, true)
	}
	return nil
}

// check fails the test when what must always hold does not.
func (w *world) check(after string) {
	broken := func(format string, args ...any) {
		w.errorf("after %s: %s\n\t%s", after, fmt.Sprintf(format, args...), strings.Join(w.calls, "\n\t"))
	}
	for c, p := range w.colours {
		if p.size > 0 && w.configs[p.release.ID] == nil && !w.bare {
			broken("the pods of %s have no configuration any more", c)
		}
	}
	if w.selects == release.None {
		if w.served && !w.bare {
			broken("nothing serves, though something did")
		}
		return
	}
	for _, c := range w.serving() {
		live := w.colours[c]
		switch {
		case live == nil:
			broken("the Service leads to %s, which does not exist", c)
		case live.ready < w.enough:
			broken("the Service leads to %s with %d of %d pods ready", c, live.ready, w.enough)
		}
	}
}

// serving returns the colours that the live Service leads to.
func (w *world) serving() []release.Colour {
	switch w.selects {
	case release.None:
		return nil
	case release.Both:
		return []release.Colour{release.Blue, release.Green}
	default:
		return []release.Colour{w.selects}
	}
}

func (s *session) Watch(ctx context.Context) error {
	return s.call(ctx, "watch", func() error { return nil })
}

func (s *session) Observe(ctx context.Context) (seen plan.Observed, err error) {
	err = s.call(ctx, "observe", func() error { seen = s.observe(); return nil })
	return seen, err
}

func (s *session) Inspect(ctx context.Context) (seen plan.Inspected, err error) {
	err = s.call(ctx, "inspect", func() error { seen = s.inspected; return nil })
	return seen, err
}

func (w *world) observe() plan.Observed {
	seen := plan.Observed{NamespaceExists: true, Record: w.stored(),
		Ready: map[release.Colour]int{}, Size: map[release.Colour]int{}, Image: map[release.Colour]string{}, Releases: map[release.Colour]string{},
		ServiceWriters: []string{"cutover"}}
	if w.selects != release.None {
		seen.Service = release.Names{App: "notes"}.Selector(w.selects)
	}
	for c, p := range w.colours {
		seen.Ready[c], seen.Size[c], seen.Image[c], seen.Releases[c] = p.ready, p.size, p.release.Image, p.release.ID
	}
	if live := seen.Live(); live != nil {
		seen.LiveSecrets = maps.Clone(w.configs[live.ID])
	}
	return seen
}

func (s *session) CreateConfig(ctx context.Context, rec *release.Record, secrets map[string]string) error {
	return s.call(ctx, "create config", func() error {
		if old := s.configs[rec.Release.ID]; old != nil && !maps.Equal(old, secrets) {
			return errors.New("it exists with other values")
		}
		s.configs[rec.Release.ID] = maps.Clone(secrets)
		return nil
	})
}

// versionOf is the number that a migration's name begins with.
func versionOf(file string) int64 {
	digits, _, _ := strings.Cut(file, "_")
	v, _ := strconv.ParseInt(digits, 10, 64)
	return v
}

func (s *session) Check(ctx context.Context, _ release.Release, in plan.Input) (seen plan.Checked, err error) {
	err = s.call(ctx, "check", func() error {
		seen = plan.Checked{Database: &migrate.State{Version: s.schema, Contracted: slices.Clone(s.contracted), Problems: s.drifted}}
		for _, f := range in.Migrations {
			switch {
			case f.Phase == migrate.Contract:
			case f.Version > s.schema:
				seen.Database.Pending = append(seen.Database.Pending, f.Name)
			default:
				seen.Database.Applied = append(seen.Database.Applied, f.Name)
			}
		}
		seen.Database.Deferred = slices.Clone(s.deferred)
		return nil
	})
	return seen, err
}

func (s *session) Migrate(ctx context.Context, rec *release.Record, tell func(string)) (log string, err error) {
	err = s.call(ctx, "migrate", func() error {
		if s.configs[rec.Release.ID] == nil {
			return errors.New("the Job has no configuration")
		}
		result := migrate.Result{From: s.schema, To: s.schema, Contracted: s.contracted}
		for _, file := range rec.Pending {
			if v := versionOf(file); v > s.schema { // else a killed run came so far
				s.schema, result.To = v, v
				result.Applied = append(result.Applied, migrate.Applied{Version: v, File: file})
			}
		}
		log = s.say(tell, "applying", result.Line())
		return nil
	})
	return log, err
}

func (s *session) Contract(ctx context.Context, rec *release.Record, versions []int64, tell func(string)) (log string, err error) {
	err = s.call(ctx, "contract", func() error {
		if s.configs[rec.Release.ID] == nil {
			return errors.New("the Job has no configuration")
		}
		result := migrate.Result{From: s.schema, To: s.schema, RestorePoint: "LSN 0/1"}
		for _, v := range versions {
			if slices.Contains(s.contracted, v) { // a killed run came so far
				continue
			}
			s.contracted = append(s.contracted, v)
			s.deferred = slices.DeleteFunc(s.deferred, func(file string) bool { return versionOf(file) == v })
			result.Applied = append(result.Applied, migrate.Applied{Version: v, File: "x.sql"})
		}
		result.Contracted = slices.Clone(s.contracted)
		log = s.say(tell, "applying", result.Line())
		return nil
	})
	return log, err
}

// say prints the lines of a helper.
func (s *session) say(tell func(string), lines ...string) string {
	for _, line := range lines {
		tell(line)
	}
	return strings.Join(lines, "\n") + "\n"
}

func (s *session) Backup(ctx context.Context, _ *release.Record) (log string, err error) {
	err = s.call(ctx, "backup", func() error { log = "copying\ns3://backups/notes-7\n"; return nil })
	return log, err
}

func (s *session) History(ctx context.Context) (runs []release.Summary, err error) {
	err = s.call(ctx, "history", func() error {
		for _, rec := range append(slices.Clone(s.archive), s.stored()) {
			if rec != nil {
				runs = append(runs, rec.Summary())
			}
		}
		return nil
	})
	return runs, err
}

func (s *session) Smoke(ctx context.Context, rec *release.Record, target, service string) (log string, err error) {
	err = s.call(ctx, "smoke of "+target, func() error {
		s.smoke = target
		if target == s.smokes[rec.Release.Version] {
			log = "=== RUN   TestX\n    x.go:1: 404\n--- FAIL: TestX (0.00s)\n"
			return errors.New("the Job failed")
		}
		log, s.smoke = "=== RUN   TestX\n--- PASS: TestX (0.01s)\n", ""
		return nil
	})
	return log, err
}

func (s *session) EndSmoke(ctx context.Context, _ *release.Record, target string) error {
	return s.call(ctx, "end the smoke of "+target, func() error {
		if s.smoke == target {
			s.smoke = ""
		}
		return nil
	})
}

func (s *session) ApplyPreview(ctx context.Context, rec *release.Record) error {
	return s.call(ctx, "apply preview", func() error { s.preview = rec.Colour; return nil })
}

func (s *session) Secrets(ctx context.Context, id string) (values map[string]string, err error) {
	err = s.call(ctx, "secrets of "+id, func() error { values = maps.Clone(s.configs[id]); return nil })
	return values, err
}

func (s *session) ApplyColour(ctx context.Context, rec *release.Record) error {
	return s.call(ctx, "apply "+string(rec.Colour), func() error {
		if slices.Contains(s.serving(), rec.Colour) {
			s.errorf("%s was applied while it serves", rec.Colour)
		}
		if s.configs[rec.Release.ID] == nil {
			return errors.New("the pods have no configuration")
		}
		p := s.colours[rec.Colour]
		if p == nil {
			p = &pods{size: 1} // as Kubernetes makes a Deployment that says nothing of its size
			s.colours[rec.Colour] = p
		}
		p.release, p.ready = rec.Clone().Release, 0
		return nil
	})
}

func (s *session) Size(ctx context.Context, colour release.Colour) (size int, err error) {
	err = s.call(ctx, "size of "+string(colour), func() error {
		if p := s.colours[colour]; p != nil {
			size = p.size
		}
		return nil
	})
	return size, err
}

func (s *session) Least(ctx context.Context, colour release.Colour) (least int, err error) {
	err = s.call(ctx, "least of "+string(colour), func() error {
		if p := s.colours[colour]; p != nil {
			least = p.least
		}
		return nil
	})
	return least, err
}

func (s *session) SetLeast(ctx context.Context, r release.Release, colour release.Colour, least int) error {
	return s.call(ctx, fmt.Sprintf("least of %s is %d", colour, least), func() error {
		if p := s.colours[colour]; p != nil && r.Env.Autoscale != nil {
			p.least = least
		}
		return nil
	})
}

func (s *session) WaitReady(ctx context.Context, r release.Release, colour release.Colour, size int) error {
	return s.call(ctx, "wait ready", func() error {
		p := s.colours[colour]
		if p == nil || p.release.ID != r.ID || s.sick[p.release.Version] {
			return errors.New("pod notes-x cannot become ready: CrashLoopBackOff")
		}
		if p.size < size {
			return fmt.Errorf("%d of %d pods are ready", p.size, size)
		}
		p.ready = p.size
		return nil
	})
}

// WaitCrash is no call of its own: it goes on beside the others, and changes nothing.
func (s *session) WaitCrash(ctx context.Context, r release.Release, colour release.Colour) error {
	s.mu.Lock()
	crashes := s.crashes
	s.mu.Unlock()
	crash := &Crash{Pod: "notes-x", What: "crashed: OOMKilled (exit code 137) after 5s"}
	select {
	case <-crashes[r.Version]:
		return crash
	case <-ctx.Done():
	}
	select { // it may have come in the very moment in which ctx ended
	case <-crashes[r.Version]:
		return crash
	default:
		return context.Cause(ctx)
	}
}

func (s *session) EndOne(ctx context.Context, colour release.Colour, size int) (string, error) {
	return "notes-x", s.call(ctx, "end one of "+string(colour), func() error {
		p := s.colours[colour]
		if p.size <= size {
			return errors.New("none would end")
		}
		p.size, p.ready = size, min(p.ready, size)
		return nil
	})
}

func (s *session) WaitEnded(ctx context.Context, pod string) error {
	return s.call(ctx, "wait for the end of "+pod, func() error { return nil })
}

func (s *session) Park(ctx context.Context, colour release.Colour) error {
	return s.call(ctx, fmt.Sprintf("park %s", colour), func() error {
		if slices.Contains(s.serving(), colour) {
			s.errorf("%s was parked while it serves", colour)
		}
		if p := s.colours[colour]; p != nil {
			p.size, p.ready, p.least = 0, 0, 0
		}
		return nil
	})
}

func (s *session) Select(ctx context.Context, _ *release.Record, to release.Colour, from ...release.Colour) error {
	if s.grow != nil {
		s.grow()
	}
	return s.call(ctx, "select "+to.String(), func() error {
		switch {
		case s.selects == to:
			return nil
		case slices.Contains(from, s.selects):
			s.selects = to
			return nil
		default:
			return fmt.Errorf("it selects %s, not %s: somebody else changed it", s.selects, from)
		}
	})
}

func (s *session) WaitEndpoints(ctx context.Context, colour release.Colour, size int) error {
	return s.call(ctx, "wait endpoints", func() error {
		if p := s.colours[colour]; s.selects != colour || p == nil || p.ready < size {
			return fmt.Errorf("the Service does not lead to %s", colour)
		}
		return nil
	})
}

func (s *session) Scale(ctx context.Context, colour release.Colour, size int) error {
	return s.call(ctx, fmt.Sprintf("scale %s to %d", colour, size), func() error {
		p := s.colours[colour]
		if p == nil {
			return nil
		}
		if slices.Contains(s.serving(), colour) && size < p.size {
			s.errorf("%s was scaled down while it serves", colour)
		}
		p.size, p.ready = size, min(p.ready, size)
		return nil
	})
}

func (s *session) WaitGone(ctx context.Context, colour release.Colour) error {
	return s.call(ctx, "wait gone", func() error {
		if p := s.colours[colour]; p != nil && p.size > 0 {
			return fmt.Errorf("%d pods of %s have not ended", p.size, colour)
		}
		return nil
	})
}

func (s *session) DeleteColour(ctx context.Context, colour release.Colour) error {
	return s.call(ctx, "delete "+string(colour), func() error { delete(s.colours, colour); return nil })
}

func (s *session) DeletePreview(ctx context.Context) error {
	return s.call(ctx, "delete preview", func() error { s.preview = release.None; return nil })
}

func (s *session) DeleteRelease(ctx context.Context, id string) error {
	return s.call(ctx, "delete release "+id, func() error { delete(s.configs, id); return nil })
}

func (s *session) Tidy(ctx context.Context, _ *release.Record) error {
	return s.call(ctx, "tidy", func() error { return nil })
}

func (s *session) StartAgent(ctx context.Context, rec *release.Record, lifetime time.Duration) error {
	return s.call(ctx, "start agent", func() error {
		if lifetime <= 0 {
			return errors.New("the agent would end at once")
		}
		s.agent, s.follows = rec.Run, rec.Run
		return nil
	})
}

func (s *session) StopAgent(ctx context.Context) error {
	return s.call(ctx, "stop agent", func() error { s.agent = ""; return nil })
}

// deaf says that this process hears of no agent.
func (s *session) deaf() bool { return s.agent == "" || s.follows != s.agent }

func (s *session) WaitAnswers(ctx context.Context, target string, r release.Release, inARow int) (seen agent.Sighting, err error) {
	err = s.call(ctx, "answers of "+target, func() error {
		colour := s.selects
		if target == "preview" {
			colour = s.preview
		}
		p := s.colours[colour]
		if s.deaf() || p == nil || p.ready == 0 {
			return fmt.Errorf("%s does not answer", target)
		}
		seen = agent.Sighting{Target: target, Asked: inARow, Streak: inARow, Last: agent.Identity{Version: p.release.Version, Release: p.release.ID}}
		if !seen.Last.Is(r.Version, r.ID) {
			return fmt.Errorf("%s answers version %s", target, p.release.Version)
		}
		return nil
	})
	return seen, err
}

func (s *session) Clock(ctx context.Context) (at time.Time, err error) {
	err = s.call(ctx, "clock", func() error {
		if s.deaf() {
			return errors.New("the agent has not told anything yet")
		}
		s.clock = s.clock.Add(time.Second)
		at = s.clock
		return nil
	})
	return at, err
}

func (s *session) WaitProbe(ctx context.Context, target string, since time.Time, enough func(probe.Tally) (bool, error)) error {
	return s.call(ctx, "probe of "+target, func() error {
		if s.deaf() {
			return errors.New("the prober saw nothing")
		}
		t := probe.Tally{From: since, Last: since.Add(time.Hour), Watched: 3600, Count: probe.Count{OK: 1000}}
		p, loses := s.colours[s.selects], s.lossy
		if target == "preview" {
			p, loses = s.colours[s.preview], s.abrupt
		}
		if target == "preview" && s.unheld > 0 {
			s.unheld--
		} else {
			t.Classes = map[probe.Class]probe.Count{probe.Kept: {OK: 500, Connections: 3}}
			if p != nil && loses[p.release.Version] {
				t.Failed, t.Failures = 5, map[probe.Kind]int{probe.Reset: 5}
				s.lost = 5
			}
		}
		ok, err := enough(t)
		if err == nil && !ok {
			err = errors.New("the prober saw too little")
		}
		return err
	})
}

// Series is asked also in the midst of WaitProbe, which holds the lock.
func (s *session) Series(string) []probe.Second {
	if s.seconds != nil {
		return s.seconds
	}
	return []probe.Second{{At: s.clock, Count: probe.Count{OK: 1000, Failed: s.lost}}}
}

// Measured is asked in the midst of WaitProbe, too.
func (s *session) Measured(metric string) []agent.Measurement {
	return slices.Clone(s.measured[metric])
}

func (s *session) Guarded(ctx context.Context, run string) (report *release.GuardReport, err error) {
	err = s.call(ctx, "guarded", func() error {
		if s.guarded != nil && s.guarded.Run == run {
			report = s.guarded
		}
		return nil
	})
	return report, err
}

func (w *world) stored() *release.Record {
	if w.head == nil {
		return nil
	}
	rec := new(release.Record)
	require.NoError(w.t, json.Unmarshal(w.head, rec))
	return rec
}

func (s *session) Load(ctx context.Context) (rec *release.Record, err error) {
	err = s.call(ctx, "load", func() error {
		rec, s.revision = s.stored(), s.world.revision
		return nil
	})
	return rec, err
}

func (s *session) Begin(ctx context.Context, rec *release.Record) error {
	return s.call(ctx, "begin", func() error {
		number := 0
		if old := s.stored(); old != nil {
			number = old.Number
			s.archive = append(s.archive, old)
		}
		rec.Number = number + 1
		if rec.Release.ID == "" {
			rec.Release.ID = fmt.Sprintf("r%d", rec.Number)
		}
		s.put(rec)
		return nil
	})
}

func (s *session) Save(ctx context.Context, rec *release.Record) error {
	return s.call(ctx, "save", func() error {
		if s.revision != s.world.revision {
			return ErrConflict
		}
		s.put(rec)
		return nil
	})
}

func (s *session) Find(ctx context.Context, id string) (found *release.Record, err error) {
	err = s.call(ctx, "find "+id, func() error {
		for _, rec := range append(slices.Clone(s.archive), s.stored()) {
			if rec != nil && rec.Release.ID == id && id == fmt.Sprintf("r%d", rec.Number) && rec.Outcome == release.Succeeded {
				found = rec
			}
		}
		return nil
	})
	return found, err
}

func (s *session) KeepSeries(ctx context.Context, _ *release.Record, _ []probe.Second) error {
	return s.call(ctx, "keep the series", func() error { return nil })
}

func (s *session) put(rec *release.Record) {
	data, err := json.Marshal(rec)
	require.NoError(s.t, err)
	if strings.Contains(string(data), "correct-horse") {
		s.errorf("the record holds a secret: %s", data)
	}
	s.head = data
	s.served = s.served || rec.Outcome == release.Succeeded
	s.world.revision++
	s.revision = s.world.revision
}

func (s *session) Lock(ctx context.Context, holder string) (Lock, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holder != "" {
		return nil, outcome.Refusef("dagger call status --env=prod", "another run is at work: %s", s.holder)
	}
	held, lose := context.WithCancelCause(ctx)
	s.holder, s.lose, s.stop = holder, lose, ""
	return &heldLock{session: s, held: held, holder: holder, lose: lose}, nil
}

func (s *session) AskStop(_ context.Context, by string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holder == "" {
		return false, nil
	}
	s.stop = by
	s.lose(fmt.Errorf("%w by %s", ErrStopAsked, by))
	return true, nil
}

func (s *session) WaitFree(context.Context) error { return nil }

type heldLock struct {
	session *session
	held    context.Context
	holder  string
	lose    context.CancelCauseFunc
}

func (l *heldLock) Context() context.Context { return l.held }

func (l *heldLock) Confirm(ctx context.Context) error {
	return l.session.call(ctx, "confirm", func() error {
		if l.session.holder != l.holder {
			return ErrLockLost
		}
		return nil
	})
}

func (l *heldLock) Unlock() {
	l.lose(context.Canceled)
	l.session.mu.Lock()
	defer l.session.mu.Unlock()
	if l.session.holder == l.holder {
		l.session.holder = ""
	}
}

// serves checks that version serves, that nothing else has pods, and that no
// helper was left.
func (w *world) serves(version string) {
	w.t.Helper()
	require.NotEqual(w.t, release.None, w.selects, "nothing serves")
	live := w.colours[w.selects]
	require.Equal(w.t, version, live.release.Version)
	require.Equal(w.t, w.selects, w.stored().Serving, "what the record says of what serves")
	require.Equal(w.t, live.release.ID, w.stored().ServingRelease().ID)
	if idle := w.colours[w.selects.Other()]; idle != nil {
		require.Zero(w.t, idle.size, "pods of the idle colour")
	}
	w.noHelpers()
}

func (w *world) noHelpers() {
	w.t.Helper()
	require.Empty(w.t, w.agent, "the agent")
	require.Empty(w.t, w.smoke, "the smoke Job")
	require.Equal(w.t, release.None, w.preview, "the preview Service")
	require.Empty(w.t, w.holder, "the lock")
}

// failing makes one call fail, before it has any effect.
func failing(call string, err error) func(string, bool) error {
	return func(name string, after bool) error {
		if name == call && !after {
			return err
		}
		return nil
	}
}

// since returns the calls after the first so many.
func (w *world) since(n int) []string { return slices.Clone(w.calls[n:]) }

func states(rec *release.Record) map[string]release.State {
	out := map[string]release.State{}
	for _, s := range rec.Steps {
		out[s.Name] = s.State
	}
	return out
}

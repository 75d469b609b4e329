// Package contract holds what package rollout expects of whatever stands for a
// cluster, as a test. It runs on the cluster in memory, which the fault matrix
// uses, and on a real API server: so that what the matrix proves is true there.
package contract

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cutover.dev/ci/config"
	"cutover.dev/ci/release"
	"cutover.dev/ci/rollout"
)

// Fault is what happens to the next write.
type Fault string

// The faults. What refuses has changed nothing; of Lost the caller does not hear
// that it was done.
const (
	None     Fault = "none"
	Conflict Fault = "409"
	Busy     Fault = "429"
	Internal Fault = "500"
	Unsent   Fault = "timeout before it was sent"
	Lost     Fault = "answer lost after it was done"
)

var faults = []Fault{None, Conflict, Busy, Internal, Unsent, Lost}

// Subject is a cluster under test, empty but for its namespace.
type Subject struct {
	Cluster rollout.Cluster
	Store   rollout.Store
	Locker  rollout.Locker
	// Inject lets the fault happen to the next write.
	Inject func(Fault)
	// Look returns what is there, by another way than the Cluster.
	Look func(ctx context.Context) (State, error)
}

// State is what a cluster holds of the application.
type State struct {
	Selects, Preview release.Colour
	// Sizes are the wanted numbers of pods; a colour without a Deployment is not in
	// it.
	Sizes map[release.Colour]int
	// Leasts are the minimums of the autoscalers that there are.
	Leasts map[release.Colour]int
	// Releases are the IDs of those that have a configuration.
	Releases []string
	Holder   string
	// Run and Outcome are the current record's.
	Run     string
	Outcome release.Outcome
}

// act is a write and what is true once it was done.
type act struct {
	name string
	do   func(context.Context, Subject) error
	then func(*State)
}

// Record returns the record of a run that takes a release to the colour.
func Record(app, namespace string, number int, colour release.Colour) *release.Record {
	return &release.Record{
		Format: release.FormatVersion, Run: "RUN", Outcome: release.Running, Namespace: namespace, Kind: release.Deploy,
		Colour: colour, PreviousColour: colour.Other(), Replicas: 2,
		Release: release.Release{
			Version: "1", Image: "registry.invalid/none@sha256:" + zeros, Bundle: "registry.invalid/none@sha256:" + zeros,
			Env: config.Env{
				Name: "test", App: app, Namespace: namespace, Port: 8080, Replicas: 2,
				Health: config.Health{Ready: "/", Live: "/", Version: "/"}, Secrets: config.Secrets{Required: []string{"TOKEN"}},
				Raise: config.Raise{Timeout: time.Minute}, Shutdown: config.Shutdown{Grace: time.Second},
			},
		},
	}
}

const zeros = "0000000000000000000000000000000000000000000000000000000000000000"

// acts are writes in an order in which each is possible.
func acts(rec *release.Record) []act {
	secrets := map[string]string{"TOKEN": "value"}
	first := rec.Colour
	other := first.Other()
	second := rec.Clone()
	second.Colour, second.PreviousColour = other, first
	scaled := rec.Release
	scaled.Env.Autoscale = &config.Autoscale{Min: 2, Max: 4, CPU: 80} // as large as it is: the controller has nothing to do
	return []act{
		{"create the configuration", func(ctx context.Context, s Subject) error { return s.Cluster.CreateConfig(ctx, rec, secrets) },
			func(w *State) { w.Releases = []string{rec.Release.ID} }},
		{"apply the preview", func(ctx context.Context, s Subject) error { return s.Cluster.ApplyPreview(ctx, rec) },
			func(w *State) { w.Preview = first }},
		{"apply a colour", func(ctx context.Context, s Subject) error { return s.Cluster.ApplyColour(ctx, rec) },
			func(w *State) { w.Sizes[first] = 1 }},
		{"scale it", func(ctx context.Context, s Subject) error { return s.Cluster.Scale(ctx, first, 2) },
			func(w *State) { w.Sizes[first] = 2 }},
		{"give it an autoscaler", func(ctx context.Context, s Subject) error { return s.Cluster.SetLeast(ctx, scaled, first, 2) },
			func(w *State) { w.Leasts[first] = 2 }},
		{"make the live Service", func(ctx context.Context, s Subject) error { return s.Cluster.Select(ctx, rec, first, release.None) },
			func(w *State) { w.Selects = first }},
		{"apply the other colour", func(ctx context.Context, s Subject) error { return s.Cluster.ApplyColour(ctx, second) },
			func(w *State) { w.Sizes[other] = 1 }},
		{"let them overlap", func(ctx context.Context, s Subject) error {
			return s.Cluster.Select(ctx, rec, release.Both, first, other)
		}, func(w *State) { w.Selects = release.Both }},
		{"switch", func(ctx context.Context, s Subject) error {
			return s.Cluster.Select(ctx, second, other, first, release.Both)
		}, func(w *State) { w.Selects = other }},
		{"park the first", func(ctx context.Context, s Subject) error { return s.Cluster.Park(ctx, first) },
			func(w *State) { w.Sizes[first] = 0; delete(w.Leasts, first) }},
		{"delete the preview", func(ctx context.Context, s Subject) error { return s.Cluster.DeletePreview(ctx) },
			func(w *State) { w.Preview = release.None }},
		{"delete the first", func(ctx context.Context, s Subject) error { return s.Cluster.DeleteColour(ctx, first) },
			func(w *State) { delete(w.Sizes, first) }},
		{"take the live Service away", func(ctx context.Context, s Subject) error {
			return s.Cluster.Select(ctx, rec, release.None, other)
		}, func(w *State) { w.Selects = release.None }},
		{"delete the other", func(ctx context.Context, s Subject) error { return s.Cluster.DeleteColour(ctx, other) },
			func(w *State) { delete(w.Sizes, other) }},
		{"delete the release", func(ctx context.Context, s Subject) error { return s.Cluster.DeleteRelease(ctx, rec.Release.ID) },
			func(w *State) { w.Releases = nil }},
	}
}

// Test runs the contract: each write, under each fault, is either done or can be
// done by the same call again; done twice it is as done once; and nothing else
// changes. open returns a new, empty subject whose objects are named after app.
func Test(t *testing.T, namespace string, open func(t *testing.T, app string) Subject) {
	for i, f := range faults {
		t.Run(string(f), func(t *testing.T) {
			app := "contract-" + string(rune('a'+i))
			s := open(t, app)
			rec := Record(app, namespace, 1, release.Blue)
			want := State{Sizes: map[release.Colour]int{}, Leasts: map[release.Colour]int{}}
			saved(t, s, f, rec, &want)
			for _, a := range acts(rec) {
				played(t, s, f, a, &want)
			}
			locked(t, s)
		})
	}
}

func played(t *testing.T, s Subject, f Fault, a act, want *State) {
	t.Helper()
	ctx := t.Context()
	before := look(t, s)
	require.Equal(t, *want, before, "before: %s", a.name)
	a.then(want)
	s.Inject(f)
	if err := a.do(ctx, s); err != nil {
		require.NotEqual(t, None, f, "%s: %v", a.name, err)
		require.NoError(t, a.do(ctx, s), "%s, again after %v", a.name, err)
	}
	s.Inject(None)
	require.Equal(t, *want, look(t, s), "after: %s", a.name)
	require.NoError(t, a.do(ctx, s), "%s, although it was done", a.name)
	after := look(t, s)
	require.Equal(t, *want, after, "after it was done twice: %s", a.name)
}

func look(t *testing.T, s Subject) State {
	t.Helper()
	state, err := s.Look(t.Context())
	require.NoError(t, err)
	return state
}

// saved begins a record and saves it under the fault; a stale writer is refused.
func saved(t *testing.T, s Subject, f Fault, rec *release.Record, want *State) {
	t.Helper()
	ctx := t.Context()
	s.Inject(f)
	if err := s.Store.Begin(ctx, rec); err != nil {
		require.NotEqual(t, None, f, "begin: %v", err)
		require.NoError(t, s.Store.Begin(ctx, rec), "begin, again after %v", err)
	}
	s.Inject(f)
	rec.Outcome = release.Succeeded
	if err := s.Store.Save(ctx, rec); err != nil {
		require.NotEqual(t, None, f, "save: %v", err)
		loaded, err := s.Store.Load(ctx) // as the next process would
		require.NoError(t, err)
		require.Equal(t, rec.Run, loaded.Run)
		require.NoError(t, s.Store.Save(ctx, rec))
	}
	s.Inject(None)
	want.Run, want.Outcome = rec.Run, rec.Outcome
	read, err := s.Store.Load(ctx)
	require.NoError(t, err)
	require.Equal(t, rec.Clone(), read)
}

// locked checks that one has the lock at a time.
func locked(t *testing.T, s Subject) {
	t.Helper()
	ctx := t.Context()
	lock, err := s.Locker.Lock(ctx, release.Holder("ann", "A"))
	require.NoError(t, err)
	require.NoError(t, lock.Confirm(ctx))
	_, err = s.Locker.Lock(ctx, release.Holder("bob", "B"))
	require.ErrorContains(t, err, "another run is at work")
	lock.Unlock()
	lock, err = s.Locker.Lock(ctx, release.Holder("bob", "B"))
	require.NoError(t, err)
	lock.Unlock()
	require.Empty(t, look(t, s).Holder)
}

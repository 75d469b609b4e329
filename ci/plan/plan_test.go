package plan

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cutover.dev/ci/config"
	"cutover.dev/ci/migrate"
	"cutover.dev/ci/release"
)

const secretValue = "postgres://notes:correct-horse@db/notes"

func image(c string) string {
	return "registry.example.com/notes@sha256:" + strings.Repeat(c, 64)
}

func offer() Input {
	return Input{
		Env: config.Env{
			Name: "prod", App: "notes", Namespace: "notes-prod", Port: 8080, Replicas: 3,
			Env:       map[string]string{"LOG_LEVEL": "info"},
			Resources: config.Resources{Requests: map[string]string{"cpu": "50m"}, Limits: map[string]string{"memory": "128Mi"}},
			Health:    config.Health{Ready: "/readyz", Live: "/livez", Version: "/version"},
			Secrets:   config.Secrets{Required: []string{"DATABASE_URL"}},
			Migrations: &config.Migrations{
				Dir: "sql", Engine: "postgres", DSN: "DATABASE_URL", Timeout: 10 * time.Minute},
			Raise:    config.Raise{Timeout: 5 * time.Minute},
			Verify:   config.Verify{Answers: 20, Timeout: time.Minute},
			Shutdown: config.Shutdown{Sleep: 5 * time.Second, Grace: 45 * time.Second},
		},
		Version: "1.0.0", Image: image("a"), Bundle: image("b"), Commit: "0123456789abcdef",
		Migrations: []migrate.File{{Version: 1, Name: "1_notes.sql", Phase: migrate.Expand, Hash: "create table notes"}},
		Secrets:    map[string]string{"DATABASE_URL": secretValue},
	}
}

// empty is a namespace in which nothing was ever deployed.
func empty() Observed {
	return Observed{NamespaceExists: true, Ready: map[release.Colour]int{}, Size: map[release.Colour]int{}, Image: map[release.Colour]string{}}
}

// after is what the cluster says once the input was deployed on blue as r1.
func after(in Input) Observed {
	rec := &release.Record{Run: "RUN1", Number: 1, Colour: release.Blue, Serving: release.Blue, Outcome: release.Succeeded, Release: candidate(in)}
	rec.Release.ID = "r1"
	return Observed{
		NamespaceExists: true, Record: rec.Clone(),
		Service:        release.Names{App: in.Env.App}.Selector(release.Blue),
		ServiceWriters: []string{"cutover"},
		Ready:          map[release.Colour]int{release.Blue: in.Env.Replicas},
		Size:           map[release.Colour]int{release.Blue: in.Env.Replicas},
		Image:          map[release.Colour]string{release.Blue: in.Image},
		LiveSecrets:    map[string]string{"DATABASE_URL": secretValue},
	}
}

// next is an offer that differs from what after says in version and image.
func next() Input {
	in := offer()
	in.Version, in.Image, in.Commit = "1.1.0", image("c"), "fedcba9876543210"
	return in
}

func TestTheFirstReleaseIsPlannedOnBlue(t *testing.T) {
	p := Make(offer(), empty())
	require.Empty(t, p.Findings)
	require.Equal(t, Deploy, p.Action)
	require.Equal(t, release.Blue, p.Colour)
	require.Equal(t, 3, p.Replicas)
	require.Nil(t, p.Previous)
	require.Equal(t, []string{"first release: nothing serves yet"}, p.Changes)
}

func TestTheNextReleaseIsPlannedOnTheIdleColour(t *testing.T) {
	p := Make(next(), after(offer()))
	require.Empty(t, p.Findings)
	require.Equal(t, Deploy, p.Action)
	require.Equal(t, release.Green, p.Colour)
	require.Equal(t, release.Blue, p.PreviousColour)
	require.Equal(t, "r1", p.Previous.ID)
	require.Equal(t, []string{"version: 1.0.0 -> 1.1.0", "image: aaaaaaaaaaaa -> cccccccccccc"}, p.Changes)
}

func TestTheSameReleaseIsNothingToDo(t *testing.T) {
	p := Make(offer(), after(offer()))
	require.Empty(t, p.Findings)
	require.Equal(t, Nothing, p.Action)
	require.Equal(t, release.Blue, p.Colour)
	require.Empty(t, p.Changes)
}

func TestTheSameReleaseIsDeployedAgainWhenItDoesNotReallyServe(t *testing.T) {
	for name, change := range map[string]func(*Observed){
		"a pod is not ready":      func(o *Observed) { o.Ready[release.Blue] = 2 },
		"it has no pods":          func(o *Observed) { o.Ready[release.Blue], o.Size[release.Blue] = 0, 0 },
		"another image runs":      func(o *Observed) { o.Image[release.Blue] = image("d") },
		"it has no image at all":  func(o *Observed) { delete(o.Image, release.Blue) },
		"other secrets are given": func(o *Observed) { o.LiveSecrets["DATABASE_URL"] = "another" },
	} {
		seen := after(offer())
		change(&seen)
		p := Make(offer(), seen)
		require.Equal(t, Deploy, p.Action, name)
		require.Equal(t, release.Green, p.Colour, name)
	}
}

func TestTheHashStaysWhileWhatIsApprovedStays(t *testing.T) {
	want := Make(next(), after(offer())).Hash
	require.Len(t, want, 12)
	for range 20 { // maps are walked in another order each time
		require.Equal(t, want, Make(next(), after(offer())).Hash)
	}
	for name, change := range map[string]func(*Input, *Observed){
		"ready pods": func(_ *Input, o *Observed) { o.Ready[release.Blue] = 1 },
		"size":       func(_ *Input, o *Observed) { o.Size[release.Blue], o.Ready[release.Blue] = 9, 9 },
		"idle pods":  func(_ *Input, o *Observed) { o.Size[release.Green], o.Ready[release.Green] = 4, 4 },
		"run":        func(_ *Input, o *Observed) { o.Record.Run, o.Record.Number = "RUN2", 2 },
		"writers":    func(_ *Input, o *Observed) { o.ServiceWriters = nil },
		"commit":     func(in *Input, _ *Observed) { in.Commit = "" },
		"committed":  func(in *Input, _ *Observed) { in.CommittedAt = new(time.Now()) },
	} {
		in, seen := next(), after(offer())
		change(&in, &seen)
		require.Equal(t, want, Make(in, seen).Hash, name)
	}
}

func TestTheHashChangesWithWhatIsApproved(t *testing.T) {
	seen := map[string]string{Make(next(), after(offer())).Hash: "nothing"}
	for name, change := range map[string]func(*Input, *Observed){
		"image":         func(in *Input, _ *Observed) { in.Image = image("e") },
		"bundle":        func(in *Input, _ *Observed) { in.Bundle = image("e") },
		"version":       func(in *Input, _ *Observed) { in.Version = "2" },
		"configuration": func(in *Input, _ *Observed) { in.Env.Env = map[string]string{"LOG_LEVEL": "debug"} },
		"environment":   func(in *Input, o *Observed) { in.Env.Name, o.Record.Release.Env.Name = "staging", "staging" },
		"namespace":     func(in *Input, _ *Observed) { in.Env.Namespace = "elsewhere" },
		"port":          func(in *Input, _ *Observed) { in.Env.Port = 9090 },
		"limits":        func(in *Input, _ *Observed) { in.Env.Resources.Limits = map[string]string{"memory": "1Gi"} },
		"probe":         func(in *Input, _ *Observed) { in.Env.Health.Ready = "/ready" },
		"grace":         func(in *Input, _ *Observed) { in.Env.Shutdown.Grace = time.Minute },
		"migration": func(in *Input, _ *Observed) {
			in.Migrations[0].Hash = "drop table notes"
		},
		"migration's name": func(in *Input, _ *Observed) {
			in.Migrations[0].Name = "2_notes.sql"
		},
		"previous release": func(_ *Input, o *Observed) { o.Record.Release.ID = "r7" },
		"previous content": func(_ *Input, o *Observed) { o.Record.Release.Fingerprint = "another" },
		"live colour": func(_ *Input, o *Observed) {
			o.Record.Colour, o.Record.Serving = release.Green, release.Green
			o.Service = release.Names{App: "notes"}.Selector(release.Green)
		},
		"first release": func(_ *Input, o *Observed) { o.Record, o.Service = nil, nil },
	} {
		in, o := next(), after(offer())
		change(&in, &o)
		hash := Make(in, o).Hash
		require.NotContains(t, seen, hash, "%s has the hash of %s", name, seen[hash])
		seen[hash] = name
	}
}

func TestChangesNameWhatDiffersButNoValue(t *testing.T) {
	in := offer()
	in.Env.Env = map[string]string{"LOG_LEVEL": "quiet-value", "NEW": "new-value"}
	in.Env.Replicas = 4
	in.Migrations = append(in.Migrations, migrate.File{Version: 2, Name: "2_tags.sql", Phase: migrate.Expand, Hash: "create table tags"})
	in.Secrets = map[string]string{"DATABASE_URL": "postgres://other"}
	p := Make(in, after(offer()))
	text := strings.Join(p.Changes, "\n")
	require.Contains(t, text, "replicas: 3 -> 4")
	require.Contains(t, text, "migrations: ")
	require.Contains(t, text, "configuration: [LOG_LEVEL NEW]")
	require.Contains(t, text, "secrets: [DATABASE_URL]")
	for _, value := range []string{"quiet-value", "new-value", "postgres://", "correct-horse"} {
		require.NotContains(t, text, value)
	}
}

func TestAChangeThatHasNoNameIsStillAChange(t *testing.T) {
	in := offer()
	in.Env.Shutdown.Grace = time.Minute
	p := Make(in, after(offer()))
	require.Equal(t, Deploy, p.Action)
	require.Equal(t, []string{"settings: the pods' or the Service's description differs"}, p.Changes)
}

func TestReplicas(t *testing.T) {
	live := &release.Release{Env: config.Env{Replicas: 3}}
	for _, c := range []struct {
		name           string
		declared       int
		live           *release.Release
		size, replicas int
	}{
		{"a first release gets what is declared", 3, nil, 0, 3},
		{"a first release is not sized by pods left over", 3, nil, 9, 3},
		{"the same as before", 3, live, 3, 3},
		{"fewer, by the team's decision", 2, live, 3, 2},
		{"more, by the team's decision", 5, live, 3, 5},
		{"scaled up by hand or by an autoscaler: kept", 3, live, 7, 7},
		{"scaled up, but more is declared", 8, live, 7, 8},
		{"scaled up, and fewer are declared: the load is real", 2, live, 7, 7},
		{"scaled down: no reason to raise fewer", 3, live, 1, 3},
	} {
		require.Equal(t, c.replicas, replicas(config.Env{Replicas: c.declared}, c.live, c.size), c.name)
	}
}

func TestNoSecretLeavesThePlan(t *testing.T) {
	in := next()
	in.Secrets["SURPLUS"] = "hunter2-hunter2"
	seen := after(offer())
	seen.LiveSecrets["DATABASE_URL"] = "postgres://notes:old-password@db/notes"
	p := Make(in, seen)
	data, err := json.Marshal(p)
	require.NoError(t, err)
	for _, text := range []string{p.Text(), string(data), fmt.Sprintf("%+v", p)} {
		for _, value := range []string{"correct-horse", "hunter2", "old-password"} {
			require.NotContains(t, text, value)
		}
	}
}

package agent

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cutover.dev/ci/probe"
	"cutover.dev/ci/release"
)

func TestASightingCountsAnswersInARow(t *testing.T) {
	one, two := Identity{Version: "1", Release: "r1"}, Identity{Version: "2", Release: "r2"}
	var s Sighting
	for i, c := range []struct {
		id      Identity
		err     error
		changed bool
		want    Sighting
	}{
		{one, nil, true, Sighting{Asked: 1, Last: one, Streak: 1}},
		{one, nil, false, Sighting{Asked: 2, Last: one, Streak: 2}},
		{two, nil, true, Sighting{Asked: 3, Last: two, Streak: 1}},
		{two, nil, false, Sighting{Asked: 4, Last: two, Streak: 2}},
		{Identity{}, errors.New("refused"), true, Sighting{Asked: 5, Error: "refused"}},
		{Identity{}, errors.New("refused"), false, Sighting{Asked: 6, Error: "refused"}},
		{Identity{}, errors.New("reset"), true, Sighting{Asked: 7, Error: "reset"}},
		{two, nil, true, Sighting{Asked: 8, Last: two, Streak: 1}},
		{Identity{Version: "2", Release: "r3"}, nil, true, Sighting{Asked: 9, Last: Identity{Version: "2", Release: "r3"}, Streak: 1}},
	} {
		require.Equal(t, c.changed, s.add(c.id, c.err), "answer %d", i)
		require.Equal(t, c.want, s, "answer %d", i)
	}
}

func TestIdentityIs(t *testing.T) {
	for _, c := range []struct {
		id   Identity
		want bool
	}{
		{Identity{"1", "r1"}, true},
		{Identity{"1", ""}, true}, // the application does not tell its release
		{Identity{"1", "r2"}, false},
		{Identity{"2", "r1"}, false},
		{Identity{"", "r1"}, false},
		{Identity{}, false},
	} {
		require.Equal(t, c.want, c.id.Is("1", "r1"), "%+v", c.id)
	}
}

// watching runs Watch on a server that answers by the handler, with the target
// live and what change adds, and returns what is written, line by line.
func watching(t *testing.T, handler http.HandlerFunc, change func(url string, c *Config)) (next func() Line) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	c := Config{Targets: []Target{{Name: Live, URL: server.URL + "/version"}}}
	change(server.URL, &c)
	go func() { done <- Watch(ctx, w, c) }()
	t.Cleanup(func() {
		cancel()
		r.Close() // whoever still writes is told
		<-done
	})
	lines := bufio.NewScanner(r)
	return func() Line {
		t.Helper()
		require.True(t, lines.Scan(), "Watch ended")
		line, ok := Parse(lines.Bytes())
		require.True(t, ok, lines.Text())
		return line
	}
}

// looking is watching with nothing but the target.
func looking(t *testing.T, handler http.HandlerFunc) (next func() Sighting) {
	t.Helper()
	line := watching(t, handler, func(string, *Config) {})
	return func() Sighting {
		t.Helper()
		s := line().Sighting
		require.NotNil(t, s)
		require.Equal(t, Live, s.Target)
		return *s
	}
}

func TestWatchTellsAChangeOfVersion(t *testing.T) {
	var version atomic.Value
	version.Store("1")
	next := looking(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"version": %q, "release": "r%s"}`, version.Load(), version.Load())
	})
	s := next()
	require.Equal(t, Identity{"1", "r1"}, s.Last)
	require.Equal(t, 1, s.Streak)
	for s.Streak < 5 {
		s = next()
		require.Equal(t, "1", s.Last.Version)
	}
	version.Store("2")
	for s.Last.Version != "2" {
		s = next()
	}
	require.Equal(t, 1, s.Streak, "the change itself is told")
	require.Greater(t, s.Asked, 5)
	require.False(t, s.At.IsZero())
}

func TestWatchAsksOnAFreshConnectionEachTime(t *testing.T) {
	remotes := make(chan string, 1000)
	next := looking(t, func(w http.ResponseWriter, r *http.Request) {
		remotes <- r.RemoteAddr
		fmt.Fprint(w, `{"version": "1"}`)
	})
	for next().Asked < 5 {
	}
	seen := map[string]bool{}
	for range 5 {
		remote := <-remotes
		require.False(t, seen[remote], "the connection was used before")
		seen[remote] = true
	}
}

func TestWatchTellsWhyThereIsNoAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		want   string
	}{
		"not found":       {404, `{"version": "1"}`, "answered status 404"},
		"no JSON":         {200, "<html>", "answered no JSON"},
		"without version": {200, `{"ok": true}`, `answered JSON without a "version"`},
	} {
		t.Run(name, func(t *testing.T) {
			s := looking(t, func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.body)
			})()
			require.Contains(t, s.Error, c.want)
			require.Zero(t, s.Streak)
			require.Equal(t, Identity{}, s.Last)
		})
	}
}

func TestWatchSaysWhenItCannotWriteAndGoesOn(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"version": "1"}`)
		if asked.Add(1) == 3 {
			cancel()
		}
	}))
	defer server.Close()
	r, w := io.Pipe()
	r.Close()
	err := Watch(ctx, w, Config{Targets: []Target{{Name: Live, URL: server.URL}}})
	require.ErrorContains(t, err, "write what was seen")
}

func TestWatchBlamesNobodyForItsOwnEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 3 {
			cancel() // while the answer is waited for
			<-r.Context().Done()
			return
		}
		fmt.Fprint(w, `{"version": "1"}`)
	}))
	defer server.Close()
	var out bytes.Buffer
	require.NoError(t, Watch(ctx, &out, Config{Targets: []Target{{Name: Live, URL: server.URL}}}))
	require.NotEmpty(t, out.Bytes())
	for text := range bytes.Lines(out.Bytes()) {
		line, ok := Parse(text)
		require.True(t, ok)
		require.Empty(t, line.Sighting.Error)
	}
}

// probing adds a probe of the target live.
func probing(url string, c *Config) {
	c.Probes = []Probe{{Name: Live, Config: probe.Config{URL: url, Rate: 50, Late: 10 * time.Second, Header: map[string]string{"Cutover-Probe": "RUN"}}}}
}

func TestAProbeBeginsWithTheTargetsFirstAnswerAndTellsEverySecond(t *testing.T) {
	const unanswered = 3
	var asked, early atomic.Int64
	next := watching(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/version" && asked.Add(1) <= unanswered:
			w.WriteHeader(503)
			return
		case r.Header.Get("Cutover-Probe") == "RUN" && asked.Load() <= unanswered:
			early.Add(1)
		}
		fmt.Fprint(w, `{"version": "1"}`)
	}, probing)
	var seconds []probe.Second
	for len(seconds) < 2 {
		if line := next(); line.Probe != "" {
			require.Equal(t, Live, line.Probe)
			seconds = append(seconds, line.Second)
		}
	}
	require.Zero(t, early.Load(), "it came before the first answer")
	require.Equal(t, seconds[0].At.Add(time.Second), seconds[1].At)
	require.Equal(t, 50, seconds[1].OK)
	for _, s := range seconds {
		require.Zero(t, s.Failed)
	}
}

func TestTheGuardJudgesByWhatTheLiveProbeSees(t *testing.T) {
	f := newFakeCluster()
	f.lease.Duration = 3 * time.Second
	next := watching(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cutover-Probe") != "" {
			w.WriteHeader(500)
		}
		fmt.Fprint(w, `{"version": "1"}`)
	}, func(url string, c *Config) {
		probing(url, c)
		c.Guard = &Guard{Cluster: f, Run: "RUN", Colour: release.Green, Previous: release.Blue}
	})
	var said []string
	for len(said) == 0 || !strings.HasPrefix(said[len(said)-1], "switched back") {
		if g := next().Guard; g != nil {
			require.False(t, g.At.IsZero())
			said = append(said, g.What)
		}
	}
	require.Equal(t, acts, f.written())
	require.Contains(t, said[len(said)-1], "status: 500")
}

func TestAConfigThatContradictsItselfIsRefusedAtOnce(t *testing.T) {
	target := Target{Name: Live, URL: "http://notes/version"}
	good := Probe{Name: Live, Config: probe.Config{URL: "http://notes"}}
	for want, c := range map[string]Config{
		`there are two targets "live"`:                 {Targets: []Target{target, target}},
		`there are two probes "live"`:                  {Targets: []Target{target}, Probes: []Probe{good, good}},
		`the probe "live" needs a target of that name`: {Probes: []Probe{good}},
		`the probe "live": probe: the URL`:             {Targets: []Target{target}, Probes: []Probe{{Name: Live, Config: probe.Config{URL: "notes"}}}},
		`the guard needs a probe "live" to judge by`:   {Targets: []Target{target}, Guard: &Guard{}},
	} {
		require.ErrorContains(t, Watch(t.Context(), io.Discard, c), want)
	}
}

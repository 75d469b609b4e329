package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
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

// watching runs Watch on a server that answers by the handler, and returns what
// is written, line by line.
func watching(t *testing.T, handler http.HandlerFunc) (next func() Sighting) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- Watch(ctx, w, []Target{{Name: "live", URL: server.URL + "/version"}}) }()
	t.Cleanup(func() {
		cancel()
		r.Close() // whoever still writes is told
		<-done
	})
	lines := bufio.NewScanner(r)
	return func() Sighting {
		t.Helper()
		require.True(t, lines.Scan(), "Watch ended")
		var s Sighting
		require.NoError(t, json.Unmarshal(lines.Bytes(), &s))
		require.Equal(t, "live", s.Target)
		return s
	}
}

func TestWatchTellsAChangeOfVersion(t *testing.T) {
	var version atomic.Value
	version.Store("1")
	next := watching(t, func(w http.ResponseWriter, r *http.Request) {
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
	next := watching(t, func(w http.ResponseWriter, r *http.Request) {
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
			s := watching(t, func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.body)
			})()
			require.Contains(t, s.Error, c.want)
			require.Zero(t, s.Streak)
			require.Equal(t, Identity{}, s.Last)
		})
	}
}

func TestWatchSaysWhenItCannotWrite(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{"version": "1"}`) }))
	defer server.Close()
	r, w := io.Pipe()
	r.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorContains(t, Watch(ctx, w, []Target{{Name: "live", URL: server.URL}}), "write what was seen")
}

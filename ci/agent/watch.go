// Package agent is what runs inside the cluster during a rollout: it looks at
// the application from where its users are, and prints what it sees.
//
// The runner never sends a request to the application itself. It may run where
// the cluster's addresses do not exist; it reads the agent's output through the
// API server instead.
package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"cutover.dev/ci/probe"
)

// Target is an address that the agent asks over and over.
type Target struct {
	// Name is how Sightings call it, such as "live".
	Name string
	// URL answers JSON with a "version" and optionally a "release" field.
	URL string
}

// Identity is who answered.
type Identity struct {
	Version string `json:"version"`
	// Release is empty when the application does not tell.
	Release string `json:"release,omitempty"`
}

// Is reports whether the answer came from the given release: its version is the
// same and, where the application tells, its release.
func (id Identity) Is(version, release string) bool {
	return id.Version == version && (id.Release == "" || id.Release == release)
}

// Sighting is one line of the agent's output: what a target answered lately.
type Sighting struct {
	Target string    `json:"target"`
	At     time.Time `json:"at"`
	// Asked counts every request to the target since the agent started.
	Asked int `json:"asked"`
	// Last is who answered the newest Streak requests in a row, each on a fresh
	// connection. Streak is 0 when the newest one was not answered.
	Last   Identity `json:"last"`
	Streak int      `json:"streak"`
	// Error is why the newest request was not answered.
	Error string `json:"error,omitempty"`
}

const (
	// pause lies between two requests to a target: short, because a switch is
	// only done when many answers in a row were the new version's.
	pause = 15 * time.Millisecond
	// quiet is the longest time without a line while nothing changes.
	quiet = 200 * time.Millisecond
	// timeout bounds one request.
	timeout = 2 * time.Second
)

// Watch asks every target on a fresh connection each time, until ctx ends, and
// writes a Sighting as one line of JSON whenever the answer changes, and at
// least five times a second.
func Watch(ctx context.Context, out io.Writer, targets []Target) error {
	var (
		mu    sync.Mutex
		wg    sync.WaitGroup
		enc   = json.NewEncoder(out)
		first error
	)
	emit := func(s Sighting) {
		mu.Lock()
		defer mu.Unlock()
		if err := enc.Encode(s); err != nil && first == nil {
			first = fmt.Errorf("write what was seen: %w", err)
		}
	}
	for _, t := range targets {
		wg.Go(func() { watch(ctx, t, emit) })
	}
	wg.Wait()
	return first
}

func watch(ctx context.Context, t Target, emit func(Sighting)) {
	seen := Sighting{Target: t.Name}
	var told time.Time
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		changed := seen.add(ask(ctx, t.URL))
		if now := time.Now(); changed || now.Sub(told) >= quiet {
			seen.At, told = now.UTC(), now
			emit(seen)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// add counts one more answer and reports whether it differs from the one before.
func (s *Sighting) add(id Identity, err error) (changed bool) {
	s.Asked++
	if err != nil {
		changed = s.Error != err.Error()
		s.Last, s.Streak, s.Error = Identity{}, 0, err.Error()
		return changed
	}
	changed = s.Streak == 0 || s.Last != id
	if changed {
		s.Last, s.Streak, s.Error = id, 0, ""
	}
	s.Streak++
	return changed
}

func ask(ctx context.Context, url string) (Identity, error) {
	answer, err := probe.Get(ctx, url, timeout)
	if err != nil {
		return Identity{}, err
	}
	if answer.Status != 200 {
		return Identity{}, fmt.Errorf("%s answered status %d", url, answer.Status)
	}
	var id Identity
	if err := json.Unmarshal(answer.Body, &id); err != nil {
		return Identity{}, fmt.Errorf("%s answered no JSON: %w", url, err)
	}
	if id.Version == "" {
		return Identity{}, fmt.Errorf(`%s answered JSON without a "version"`, url)
	}
	return id, nil
}

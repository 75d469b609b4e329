// Package agent is what runs inside the cluster during a rollout: it looks at
// the application from where its users are, sends it the requests that prove
// that none is lost, and prints what it sees. Should the run's own process die
// after the switch, its guard leads the users back.
//
// The runner never sends a request to the application itself. It may run where
// the cluster's addresses do not exist; it reads the agent's output through the
// API server instead.
package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"cutover.dev/ci/probe"
)

// Live is the name of the target and of the probe that look at the live Service.
// The guard judges by that probe.
const Live = "live"

// Config says what the agent does. Everything in it is optional.
type Config struct {
	Targets []Target
	Probes  []Probe
	// Metrics says what to ask Prometheus. Nil: nothing.
	Metrics *Metrics
	// Guard needs a Probe named Live. Nil: nobody guards.
	Guard *Guard
}

// Target is an address that the agent asks over and over.
type Target struct {
	// Name is how Sightings call it, such as "live".
	Name string
	// URL answers JSON with a "version" and optionally a "release" field.
	URL string
}

// Probe is a prober that begins with the first answer of the target of the same
// name: what does not exist yet, as the live Service before the first switch,
// loses no requests. It ends with the agent.
type Probe struct {
	Name string
	// Config says what is asked. Its OnSecond is Watch's own.
	Config probe.Config
}

// validate returns everything that is wrong with c, joined, or nil.
func (c Config) validate() error {
	var errs []error
	targets, probes := map[string]bool{}, map[string]bool{}
	for _, t := range c.Targets {
		if targets[t.Name] {
			errs = append(errs, fmt.Errorf("there are two targets %q", t.Name))
		}
		targets[t.Name] = true
	}
	for _, p := range c.Probes {
		if probes[p.Name] {
			errs = append(errs, fmt.Errorf("there are two probes %q", p.Name))
		}
		probes[p.Name] = true
		if !targets[p.Name] {
			errs = append(errs, fmt.Errorf("the probe %q needs a target of that name, whose first answer it begins with", p.Name))
		}
		if err := p.Config.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("the probe %q: %w", p.Name, err))
		}
	}
	if c.Metrics != nil {
		if _, err := c.Metrics.server(); err != nil {
			errs = append(errs, err)
		}
	}
	if c.Guard != nil && !probes[Live] {
		errs = append(errs, fmt.Errorf("the guard needs a probe %q to judge by", Live))
	}
	return errors.Join(errs...)
}

const (
	// fast lies between two requests to a target of which something new is to be
	// learnt: a switch is only done when many answers in a row were the new
	// version's.
	fast = 10 * time.Millisecond
	// slow lies between two requests to a target that does not answer yet, or has
	// answered the same so often that nobody waits for more.
	slow = 50 * time.Millisecond
	// often is how often that is.
	often = 200
	// quiet is the longest time without a line while nothing changes.
	quiet = 100 * time.Millisecond
	// timeout bounds one request.
	timeout = 2 * time.Second
)

// Watch asks every target on a fresh connection each time, probes and guards,
// until ctx ends. It writes what it sees as lines of JSON, see [Parse]: a
// Sighting whenever the answer changes and at least ten times a second, every
// second of a probe, every change of the guard's mind. The error is a bad Config
// or the first line that could not be written; that one ends nothing, since
// whether its output is read makes no difference to the guard.
func Watch(ctx context.Context, out io.Writer, c Config) error {
	if err := c.validate(); err != nil {
		return err
	}
	p := newPrinter(out)
	begin := map[string]*signal{}
	for _, t := range c.Targets {
		begin[t.Name] = newSignal()
	}
	var g *guard
	var wg sync.WaitGroup
	if c.Guard != nil {
		g = newGuard(*c.Guard, p.guard, begin[Live].raise)
		wg.Go(func() { g.run(ctx) })
	}
	for _, t := range c.Targets {
		wg.Go(func() { watch(ctx, t, p.sighting, begin[t.Name].raise) })
	}
	if c.Metrics != nil {
		wg.Go(func() { c.Metrics.run(ctx, p.measurement) })
	}
	for _, pr := range c.Probes {
		wg.Go(func() {
			pr.run(ctx, begin[pr.Name], func(s probe.Second) {
				if g != nil && pr.Name == Live {
					g.add(s)
				}
				p.second(pr.Name, s)
			})
		})
	}
	wg.Wait()
	return p.close()
}

// run probes from the signal to the end of ctx.
func (p Probe) run(ctx context.Context, begin *signal, each func(probe.Second)) {
	select {
	case <-ctx.Done():
		return
	case <-begin.raised:
	}
	p.Config.OnSecond = each
	// The only error is a bad configuration, which validate has found.
	_, _ = probe.Run(ctx, p.Config)
}

// signal is raised once, by whoever comes first. Safe for concurrent use.
type signal struct {
	raised chan struct{}
	raise  func()
}

func newSignal() *signal {
	raised := make(chan struct{})
	return &signal{raised: raised, raise: sync.OnceFunc(func() { close(raised) })}
}

// watch asks one target until ctx ends, and calls answered with every answer.
func watch(ctx context.Context, t Target, emit func(Sighting), answered func()) {
	seen := Sighting{Target: t.Name}
	var told time.Time
	for {
		id, err := ask(ctx, t.URL)
		switch {
		case err == nil:
			answered()
		case ctx.Err() != nil:
			return // cut off by our own end, which says nothing about the target
		}
		changed := seen.add(id, err)
		if now := time.Now(); changed || now.Sub(told) >= quiet {
			seen.At, told = now.UTC(), now
			emit(seen)
		}
		pause := fast
		if err != nil || seen.Streak > often {
			pause = slow
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
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

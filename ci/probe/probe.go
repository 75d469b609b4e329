// Package probe sends requests to a running application at a fixed rate and
// counts every one that was not answered as it should be. It proves that a
// rollout lost no request, so its rules are stricter than those of a client:
//
//   - The schedule is open loop: request i is due at start + i/rate, however
//     slow the answers before it are. A request that cannot be sent in time is
//     a failure, not a gap.
//   - Nothing is retried. net/http repeats idempotent requests on a kept-alive
//     connection that turns out to be dead, which hides exactly what a prober
//     looks for. Here the connections are owned by the prober: a server that
//     closes an idle one without having said "Connection: close" fails the next
//     request on it.
//   - Redirects are not followed, proxies from the environment not used.
//   - Nothing proves nothing: a [Result] without enough requests does not pass
//     its [Result.Verdict].
//
// A host name that resolves to several addresses is dialled as [net.Dialer]
// does: the next address is tried when the first refuses. A Service's cluster
// address, the usual target, is a single one.
package probe

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Run probes until ctx ends and returns what it saw. Requests in flight at that
// time are waited for, at most c.Timeout, and counted. The only error is a bad
// configuration; lost requests are in the Result, see [Result.Verdict].
//
// Several Runs may run at once; they share nothing. Memory is bounded, however
// long a run lasts.
func Run(ctx context.Context, c Config) (Result, error) {
	p, err := newProber(c)
	if err != nil {
		return Result{}, err
	}
	return p.run(ctx), nil
}

// prober is one run.
type prober struct {
	Config
	target   target
	messages map[role]message
	schedule *schedule
	deck     *deck
	kept     *pool
	record   *recorder
}

func newProber(c Config) (*prober, error) {
	c = c.withDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	target, err := newTarget(c.URL, c.TLS)
	if err != nil {
		return nil, err
	}
	messages, err := c.messages()
	if err != nil {
		return nil, err
	}
	return &prober{
		Config:   c,
		target:   target,
		messages: messages,
		schedule: newSchedule(c.Rate, c.Late, c.MaxInFlight),
		deck:     newDeck(c.Shares, c.WriteShare),
		kept:     &pool{size: poolSize(c.Rate, c.Shares)},
		record:   newRecorder(c.Shares.classes(), c.OnSecond),
	}, nil
}

func (p *prober) run(ctx context.Context) Result {
	// Requests outlive ctx: their end is their own deadline.
	sending := context.WithoutCancel(ctx)
	var inFlight sync.WaitGroup
	start := time.Now()
	for t := range p.schedule.ticks(ctx, start) {
		s := p.shot(t)
		p.record.begin(t.due)
		if t.late {
			p.record.end(s.late(p.Late))
			continue
		}
		inFlight.Go(func() {
			defer p.schedule.release()
			p.record.end(p.send(sending, s))
		})
	}
	end := time.Now()
	inFlight.Wait()
	p.kept.close()
	return p.record.finish(start, end)
}

// shot is one request, ready to be sent.
type shot struct {
	tick
	class   Class
	message message
}

// shot must be called in the order of the ticks.
func (p *prober) shot(t tick) shot {
	class, role := p.deck.next()
	return shot{tick: t, class: class, message: p.messages[role]}
}

func (s shot) outcome() outcome {
	return outcome{class: s.class, due: s.due, request: s.message.String()}
}

func (s shot) late(limit time.Duration) outcome {
	o := s.outcome()
	why := "the prober itself was held up"
	if s.full {
		why = "no answer yet to all that may be in flight"
	}
	o.err = failf(Late, "not sent within %s of its due time: %s", limit, why)
	return o
}

// send makes the one attempt that a shot gets.
func (p *prober) send(ctx context.Context, s shot) outcome {
	o := s.outcome()
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	c, dialled, err := p.connect(ctx, s.class)
	o.dialled = dialled
	if err != nil {
		o.err = failf(Dial, "%w", err)
		return o
	}
	alone := s.class != Kept
	answer, reusable, err := c.exchange(ctx, s.message.request(s.n, p.Header, alone))
	o.latency = time.Since(s.due)
	p.disconnect(c, s.class, reusable)
	if err != nil {
		o.err = c.explain(ctx, err, p.Timeout)
		return o
	}
	o.answered = true
	o.version = p.version(answer)
	o.err = p.check(s.message, answer, o.version)
	return o
}

// connect takes a connection as the class wants it; dialled says that it is new.
func (p *prober) connect(ctx context.Context, class Class) (c *conn, dialled bool, err error) {
	if class == Kept {
		if c := p.kept.take(); c != nil {
			return c, false, nil
		}
	}
	c, err = p.target.dial(ctx)
	if err != nil {
		if class == Kept {
			p.kept.drop()
		}
		return nil, false, err
	}
	return c, true, nil
}

func (p *prober) disconnect(c *conn, class Class, reusable bool) {
	switch {
	case class != Kept:
		c.Close()
	case reusable:
		p.kept.put(c)
	default:
		c.Close()
		p.kept.drop()
	}
}

func (p *prober) version(a Answer) string {
	if p.VersionHeader == "" {
		return ""
	}
	return clip(a.Header.Get(p.VersionHeader), maxVersion)
}

// check returns what is wrong with a full answer, or nil. The first thing found
// is the failure's kind: status before body before version.
func (p *prober) check(m message, a Answer, version string) *Error {
	if err := m.check(a); err != nil {
		return err
	}
	switch {
	case len(p.Allowed) == 0 || slices.Contains(p.Allowed, version):
		return nil
	case version == "":
		return failf(Version, "no version in the header %s", p.VersionHeader)
	default:
		return failf(Version, "version %q is none of %q", version, p.Allowed)
	}
}

package probe

import (
	"context"
	"iter"
	"time"
)

// schedule says when requests are due and how many may be in flight.
type schedule struct {
	rate  int
	late  time.Duration
	slots chan struct{} // one element per request in flight
}

func newSchedule(rate int, late time.Duration, maxInFlight int) *schedule {
	return &schedule{rate: rate, late: late, slots: make(chan struct{}, maxInFlight)}
}

// tick is one request's turn. Unless it is late it holds a slot, which the
// receiver gives back with release.
type tick struct {
	n    int
	due  time.Time
	late bool
	full bool // no slot was free when it was due
}

// ticks yields every request when it is due, until ctx ends. It never waits for
// an answer, only, up to the allowed lateness, for a free slot.
func (s *schedule) ticks(ctx context.Context, start time.Time) iter.Seq[tick] {
	return func(yield func(tick) bool) {
		for n := 0; ; n++ {
			t := tick{n: n, due: s.due(start, n)}
			if !sleepUntil(ctx, t.due) {
				return
			}
			t.full = len(s.slots) == cap(s.slots)
			inTime := s.acquire(ctx, t.due.Add(s.late))
			if ctx.Err() != nil {
				return // neither sent nor late
			}
			t.late = !inTime
			if !yield(t) {
				return
			}
		}
	}
}

// due is computed from the start, so that delays do not add up.
func (s *schedule) due(start time.Time, n int) time.Time {
	whole, rest := n/s.rate, n%s.rate
	return start.Add(time.Duration(whole)*time.Second + time.Duration(rest)*time.Second/time.Duration(s.rate))
}

// acquire takes a slot and returns false, without one, when there was none
// before the deadline or ctx ended. A free slot that comes too late counts as
// none: then this machine, not the server, was the slow one, and the request was
// still not sent in time.
func (s *schedule) acquire(ctx context.Context, deadline time.Time) bool {
	wait := time.Until(deadline)
	if wait < 0 {
		return false
	}
	select {
	case s.slots <- struct{}{}:
		return true
	default:
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case s.slots <- struct{}{}:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

func (s *schedule) release() { <-s.slots }

// sleepUntil returns false when ctx has ended.
func sleepUntil(ctx context.Context, at time.Time) bool {
	if wait := time.Until(at); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return ctx.Err() == nil
}

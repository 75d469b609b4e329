package probe

import (
	"maps"
	"sync"
	"time"
)

// outcome is what became of one request.
type outcome struct {
	class    Class
	due      time.Time
	request  string
	dialled  bool
	answered bool          // in full, be it as expected or not
	latency  time.Duration // of a full answer
	version  string        // of a full answer; may be empty
	err      *Error        // nil: ok
}

func (o outcome) failure() Failure {
	return Failure{At: o.due.UTC().Round(0), Class: o.class, Kind: o.err.Kind, Request: o.request, Detail: clip(o.err.Err.Error(), maxDetail)}
}

// recorder adds up outcomes. Safe for concurrent use, but begin is called in the
// order of the due times.
type recorder struct {
	hand *handout

	mu      sync.Mutex
	total   Count
	classes map[Class]*classTally
	failed  map[Kind]Failures
	open    []*openSecond // in order; as many as a timeout is long
	seconds []Second
	mixed   struct{ first, last time.Time }
}

type classTally struct {
	ClassResult
	latencies histogram
}

// openSecond has requests that are not sent yet or in flight.
type openSecond struct {
	Second
	pending   int
	latencies histogram
}

func newRecorder(used []Class, onSecond func(Second)) *recorder {
	r := &recorder{hand: newHandout(onSecond), classes: map[Class]*classTally{}, seconds: []Second{}}
	for _, class := range used {
		r.classes[class] = &classTally{}
	}
	return r
}

// begin announces a request; end must follow.
func (r *recorder) begin(due time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := second(due)
	if n := len(r.open); n == 0 || !r.open[n-1].At.Equal(at) {
		r.open = append(r.open, &openSecond{Second: Second{At: at, Classes: map[Class]Count{}}})
		r.shut(1)
	}
	r.open[len(r.open)-1].pending++
}

func (r *recorder) end(o outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total.add(o)
	r.classes[o.class].add(o)
	r.addFailure(o)
	for _, s := range r.open {
		if s.At.Equal(second(o.due)) {
			s.add(o)
		}
	}
	r.shut(1)
}

// shut closes the seconds at the front that are complete. The last `keep` stay
// open: more of their requests may come.
func (r *recorder) shut(keep int) {
	for len(r.open) > keep && r.open[0].pending == 0 {
		s := r.open[0].Second
		s.Latency = r.open[0].latencies.latency()
		r.open = r.open[1:]
		if s.Mixed() {
			setDefault(&r.mixed.first, s.At)
			r.mixed.last = s.At
		}
		r.seconds = append(r.seconds, s)
		r.seconds = r.seconds[max(0, len(r.seconds)-MaxSeconds):]
		r.hand.out(s)
	}
}

// finish closes the last second and returns when all were handed out. Nothing
// may be in flight.
func (r *recorder) finish(start, end time.Time) Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shut(0)
	r.hand.finish()
	result := Result{
		Start:      start.UTC().Round(0),
		End:        end.UTC().Round(0),
		Count:      r.total,
		Classes:    map[Class]ClassResult{},
		Failures:   r.failed,
		FirstMixed: r.mixed.first,
		LastMixed:  r.mixed.last,
		Seconds:    r.seconds,
	}
	for class, tally := range r.classes {
		tally.Latency = tally.latencies.latency()
		result.Classes[class] = tally.ClassResult
	}
	return result
}

func (r *recorder) addFailure(o outcome) {
	if o.err == nil {
		return
	}
	f := r.failed[o.err.Kind]
	f.Count++
	if len(f.First) < maxSamples {
		f.First = append(f.First, o.failure())
	}
	if r.failed == nil {
		r.failed = map[Kind]Failures{}
	}
	r.failed[o.err.Kind] = f
}

func (t *classTally) add(o outcome) {
	t.Count.add(o)
	if o.answered {
		t.latencies.add(o.latency)
	}
}

func (s *openSecond) add(o outcome) {
	s.pending--
	s.Count.add(o)
	class := s.Classes[o.class]
	class.add(o)
	s.Classes[o.class] = class
	if o.answered {
		s.latencies.add(o.latency)
	}
	if o.err == nil {
		return
	}
	if s.FirstFailure == nil {
		first := o.failure()
		s.FirstFailure, s.Failures = &first, map[Kind]int{}
	}
	s.Failures[o.err.Kind]++
}

func (c *Count) add(o outcome) {
	if o.err == nil || o.err.Kind != Late {
		c.Sent++
	}
	if o.err == nil {
		c.OK++
	} else {
		c.Failed++
	}
	if o.dialled {
		c.Connections++
	}
	if o.version != "" {
		c.addVersion(o.version)
	}
}

func (c *Count) addVersion(v string) {
	if c.Versions == nil {
		c.Versions = map[string]int{}
	}
	if _, known := c.Versions[v]; !known && len(c.Versions) >= maxVersions {
		v = OtherVersion
	}
	c.Versions[v]++
}

func second(t time.Time) time.Time { return time.Unix(t.Unix(), 0).UTC() }

// handout passes seconds on to a function that may be slow, without waiting for
// it: a report that cannot be written now must not look like a lost request.
type handout struct {
	seconds chan Second
	done    chan struct{}
}

func newHandout(to func(Second)) *handout {
	if to == nil {
		return nil
	}
	h := &handout{seconds: make(chan Second, MaxSeconds), done: make(chan struct{})}
	go func() {
		defer close(h.done)
		for s := range h.seconds {
			to(s)
		}
	}()
	return h
}

func (h *handout) out(s Second) {
	if h == nil {
		return
	}
	select {
	case h.seconds <- s.clone():
	default: // an hour behind
	}
}

func (h *handout) finish() {
	if h == nil {
		return
	}
	close(h.seconds)
	<-h.done
}

// clone lets the receiver do as it likes with its copy.
func (s Second) clone() Second {
	s.Versions = maps.Clone(s.Versions)
	s.Failures = maps.Clone(s.Failures)
	s.Classes = maps.Clone(s.Classes)
	return s
}

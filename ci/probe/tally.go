package probe

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Tally adds up what one prober saw from a moment on. It is small however long
// that was, and JSON keeps it whole, so that whoever reads the same seconds
// later can go on with it. The zero value counts from the first second on. Not
// safe for concurrent use.
type Tally struct {
	// From is the moment from which it counts. The second in which it lies counts
	// whole: a failure that an act at From caused is never missed, for the price
	// that one just before the act counts, too. A request belongs to the second
	// in which it was due; for those in flight at From, let From lie earlier by
	// as long as they may take.
	From time.Time `json:"from"`
	// Last is the second that was added last, zero before the first.
	Last time.Time `json:"last,omitzero"`
	// Watched is how many seconds were added. Those that nobody watched, as after
	// a kill, are not among them.
	Watched int `json:"watched"`
	Count
	// Latency holds the worst second's values, each for itself.
	Latency
	Classes map[Class]Count `json:"classes,omitempty"`
	// Failures counts the failed requests by kind, First is the earliest of those
	// that the seconds name.
	Failures map[Kind]int `json:"failures,omitempty"`
	First    *Failure     `json:"first_failure,omitempty"`
	// Mixed is how many seconds had answers of more than one version.
	Mixed int `json:"mixed"`
}

// Add counts one more second. Seconds come in order; one that is not later than
// the last, as when a log is read again after its stream broke, counts once, and
// one that ended before From does not count.
func (t *Tally) Add(s Second) {
	if !s.At.After(t.Last) || !s.At.Add(time.Second).After(t.From) {
		return
	}
	t.Last = s.At
	t.Watched++
	t.merge(s.Count)
	t.P50, t.P99, t.Max = max(t.P50, s.P50), max(t.P99, s.P99), max(t.Max, s.Max)
	if s.Mixed() {
		t.Mixed++
	}
	for class, more := range s.Classes {
		c := t.Classes[class]
		c.merge(more)
		setKey(&t.Classes, class, c)
	}
	for kind, n := range s.Failures {
		setKey(&t.Failures, kind, t.Failures[kind]+n)
	}
	if f := s.FirstFailure; f != nil && (t.First == nil || f.At.Before(t.First.At)) {
		first := *f
		t.First = &first
	}
}

// Clone returns a copy that shares nothing with t.
func (t Tally) Clone() Tally {
	t.Versions = maps.Clone(t.Versions)
	t.Classes = maps.Clone(t.Classes)
	for class, c := range t.Classes {
		c.Versions = maps.Clone(c.Versions)
		t.Classes[class] = c
	}
	t.Failures = maps.Clone(t.Failures)
	if t.First != nil {
		first := *t.First
		t.First = &first
	}
	return t
}

// Verdict returns nil when at least min requests, and never none, were answered
// as they should be and no more than tolerated failed. Otherwise it says in one
// sentence what is wrong and wraps [ErrLost] or [ErrUnproven].
func (t Tally) Verdict(min, tolerated int) error {
	if t.Failed > tolerated {
		return fmt.Errorf("%w: %d of %d failed%s (%s)%s", ErrLost, t.Failed, t.OK+t.Failed, allowance(tolerated), t.byKind(), t.first())
	}
	if need := max(1, min); t.OK < need {
		return fmt.Errorf("%w: %d requests were answered, at least %d are needed", ErrUnproven, t.OK, need)
	}
	return nil
}

func allowance(tolerated int) string {
	if tolerated == 0 {
		return ""
	}
	return fmt.Sprintf(", %d are tolerated", tolerated)
}

func (t Tally) byKind() string {
	var parts []string
	for _, kind := range kinds {
		if n := t.Failures[kind]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, kind))
		}
	}
	return strings.Join(parts, ", ")
}

func (t Tally) first() string {
	f := t.First
	if f == nil {
		return ""
	}
	return fmt.Sprintf("; the first, %s, %s %s: %s: %s", stamp(f.At), f.Class, f.Request, f.Kind, f.Detail)
}

// merge adds another count, with the same limit on versions.
func (c *Count) merge(more Count) {
	c.Sent += more.Sent
	c.OK += more.OK
	c.Failed += more.Failed
	c.Connections += more.Connections
	for _, v := range slices.Sorted(maps.Keys(more.Versions)) {
		n := more.Versions[v]
		if _, known := c.Versions[v]; !known && len(c.Versions) >= maxVersions {
			v = OtherVersion
		}
		setKey(&c.Versions, v, c.Versions[v]+n)
	}
}

func setKey[K comparable, V any](m *map[K]V, key K, value V) {
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[key] = value
}

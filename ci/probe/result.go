package probe

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Class says on what kind of connection a request travels.
type Class string

const (
	// Fresh requests have a TCP connection of their own.
	Fresh Class = "fresh"
	// Kept requests share a few kept-alive connections, each used about every
	// 250 ms, more often at high rates and less below 4 kept requests a second.
	Kept Class = "kept"
	// Slow requests take long to answer. Each has a connection of its own.
	Slow Class = "slow"
)

var classes = []Class{Fresh, Kept, Slow}

// Kind says in which way a request failed.
type Kind string

const (
	// Dial: no connection, be it the name, TCP or TLS, or that it took all of
	// the timeout.
	Dial Kind = "dial"
	// Timeout: connected, but no full answer in time.
	Timeout Kind = "timeout"
	// Reset: the connection was closed or reset before a full answer, or what
	// came was not HTTP.
	Reset Kind = "reset"
	// Status: an answer other than 200 to 299.
	Status Kind = "status"
	// Body: the body is not as expected.
	Body Kind = "body"
	// Version: the wrong version answered, or one that does not say which.
	Version Kind = "version"
	// Late: not sent within Config.Late of the due time.
	Late Kind = "late"
)

var kinds = []Kind{Dial, Timeout, Reset, Status, Body, Version, Late}

// Error says why one request failed.
type Error struct {
	Kind Kind
	Err  error
}

func (e *Error) Error() string { return string(e.Kind) + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

func failf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Err: fmt.Errorf(format, args...)}
}

const (
	// MaxSeconds is how many seconds a Result keeps, the latest ones.
	MaxSeconds = 3600
	maxSamples = 3   // failures kept per kind
	maxDetail  = 300 // bytes of a failure's text
	// A header that is no version at all, such as a request's id, must not
	// fill the memory.
	maxVersions = 16 // counted apart; the others as OtherVersion
	maxVersion  = 64 // bytes
)

// OtherVersion is counted for all versions after the first 16.
const OtherVersion = "(other)"

// Count is what became of requests. Each is either ok or failed; those that
// failed as late were never sent, so that ok + failed = sent + late.
type Count struct {
	Sent   int `json:"sent"`
	OK     int `json:"ok"`
	Failed int `json:"failed"`
	// Versions counts the full answers, also failed ones, by version.
	Versions map[string]int `json:"versions,omitempty"`
	// Connections is how many were dialled with success.
	Connections int `json:"connections,omitempty"`
}

// Latency is in milliseconds, from the time a request was due, so that waiting
// for a slow server shows, to the end of its full answer. Only full answers are
// in it. The quantiles are at most 1/16 too high, Max is exact.
type Latency struct {
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

// Second is what became of the requests that were due in one second.
type Second struct {
	// At is the beginning of the second, in UTC.
	At time.Time `json:"at"`
	Count
	Latency
	Classes map[Class]Count `json:"classes"`
	// Failures counts the failed requests by kind, FirstFailure is one of them.
	Failures     map[Kind]int `json:"failures,omitempty"`
	FirstFailure *Failure     `json:"first_failure,omitempty"`
}

// Mixed says that more than one version answered in this second.
func (s Second) Mixed() bool { return len(s.Versions) > 1 }

// Failure is one failed request.
type Failure struct {
	At      time.Time `json:"at"` // when it was due, in UTC
	Class   Class     `json:"class"`
	Kind    Kind      `json:"kind"`
	Request string    `json:"request"` // such as "GET /notes"
	Detail  string    `json:"detail"`
}

// Failures are all failed requests of one kind.
type Failures struct {
	Count int       `json:"count"`
	First []Failure `json:"first"` // at most 3
}

// ClassResult is what became of the requests of one class.
type ClassResult struct {
	Count
	Latency
}

// Result is what a run saw. Its JSON names are snake_case and its times RFC 3339.
type Result struct {
	Start time.Time `json:"start"` // the first request was due
	End   time.Time `json:"end"`   // no more were sent from here on
	Count
	// Classes has every class with a share, also if none of it was sent.
	Classes  map[Class]ClassResult `json:"classes"`
	Failures map[Kind]Failures     `json:"failures,omitempty"`
	// FirstMixed and LastMixed are the first and last second in which more than
	// one version answered; zero when there was none.
	FirstMixed time.Time `json:"first_mixed,omitzero"`
	LastMixed  time.Time `json:"last_mixed,omitzero"`
	// Seconds are the last MaxSeconds of the run, in order. Config.OnSecond
	// gets all.
	Seconds []Second `json:"seconds"`
}

// What a Verdict says, for errors.Is.
var (
	// ErrLost: at least one request failed.
	ErrLost = errors.New("requests were lost")
	// ErrUnproven: none failed, but there is not enough evidence.
	ErrUnproven = errors.New("nothing is proved")
)

// Minimum is the evidence that a verdict asks for. A zero field asks for
// nothing, except that there is always at least one answered request.
type Minimum struct {
	OK      int       // answered requests
	OKEach  int       // answered requests of every class with a share
	From    time.Time // the run must have begun by then
	Through time.Time // the run must have gone on until then
}

// Verdict returns nil when no request failed and the evidence is enough.
// Otherwise it says in one sentence what is wrong and wraps [ErrLost] or
// [ErrUnproven].
func (r Result) Verdict(m Minimum) error {
	if r.Failed > 0 {
		return fmt.Errorf("%w: %d of %d failed (%s); the first, %s", ErrLost, r.Failed, r.OK+r.Failed, r.byKind(), r.first())
	}
	if need := max(1, m.OK); r.OK < need {
		return fmt.Errorf("%w: %d requests were answered, at least %d are needed", ErrUnproven, r.OK, need)
	}
	for _, class := range classes {
		if c, used := r.Classes[class]; used && c.OK < m.OKEach {
			return fmt.Errorf("%w: %d %s requests were answered, at least %d are needed", ErrUnproven, c.OK, class, m.OKEach)
		}
	}
	if !m.From.IsZero() && r.Start.After(m.From) {
		return fmt.Errorf("%w: probing began at %s, after %s", ErrUnproven, stamp(r.Start), stamp(m.From))
	}
	if r.End.Before(m.Through) {
		return fmt.Errorf("%w: probing ended at %s, before %s", ErrUnproven, stamp(r.End), stamp(m.Through))
	}
	return nil
}

func (r Result) byKind() string {
	var parts []string
	for _, kind := range kinds {
		if n := r.Failures[kind].Count; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, kind))
		}
	}
	return strings.Join(parts, ", ")
}

// first describes the failure that was due first.
func (r Result) first() string {
	var first Failure
	for _, failures := range r.Failures {
		for _, f := range failures.First {
			if first.At.IsZero() || f.At.Before(first.At) {
				first = f
			}
		}
	}
	return fmt.Sprintf("%s, %s %s: %s: %s", stamp(first.At), first.Class, first.Request, first.Kind, first.Detail)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

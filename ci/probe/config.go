package probe

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net/url"
	"time"
)

// Config says what to ask, how often and what counts as an answer. A zero field
// takes its default; URL alone is enough.
type Config struct {
	// URL is the base of all requests: scheme (http or https), host, port and
	// an optional path prefix. Required.
	URL string
	// Rate is the number of requests per second, of all classes together.
	// Default 20.
	Rate int
	// Read is the usual request. Default: GET / and any body.
	Read Request
	// Write, when set, takes turns with Read on fresh and kept connections.
	Write *Request
	// WriteShare is the part of the fresh and of the kept requests that are
	// writes, 0 to 1. Default 0.5 when Write is set.
	WriteShare float64
	// Slow, when set, is a request that takes long to answer, so that a
	// rollout always finds some in flight. Its answer still has to be complete
	// within Timeout.
	Slow *Request
	// Shares divides the requests over the classes. Default: as many fresh as
	// kept; with Slow set, one slow for every four fresh and four kept.
	Shares Shares
	// Timeout bounds one request from its sending to the last byte of its
	// answer, dialling included. Default 5 s.
	Timeout time.Duration
	// Late is how long after its due time a request may be sent; later it is
	// not sent and counts as failed. Default 500 ms.
	Late time.Duration
	// MaxInFlight bounds the requests waiting for an answer at once. Default:
	// as many as a server that answers nothing makes wait, at most 1000.
	MaxInFlight int
	// VersionHeader names the response header that carries the application's
	// version. Default: none, versions are not counted.
	VersionHeader string
	// Allowed are the versions that may answer; needs VersionHeader. An answer
	// with another version, or with none, is a failure. Default: any.
	Allowed []string
	// Header is sent with every request, such as Cutover-Probe. "Host" sets
	// the host that is asked for.
	Header map[string]string
	// TLS is used for https. Default: the system's roots and the URL's host.
	TLS *tls.Config
	// OnSecond, when set, gets every second once all its requests have ended,
	// in order and from one goroutine. It may be slow without disturbing the
	// schedule, but Run returns only when it has been given the last second;
	// once it is an hour behind, it misses seconds.
	OnSecond func(Second)
}

// Shares are relative weights: {Fresh: 1, Kept: 3} sends a quarter of the
// requests on fresh connections.
type Shares struct {
	Fresh, Kept, Slow float64
}

// classes returns the classes that get requests.
func (s Shares) classes() []Class {
	var used []Class
	for i, weight := range s.weights() {
		if weight > 0 {
			used = append(used, classes[i])
		}
	}
	return used
}

// weights are in the order of classes.
func (s Shares) weights() []float64 { return []float64{s.Fresh, s.Kept, s.Slow} }

func (s Shares) sum() float64 { return s.Fresh + s.Kept + s.Slow }

func (c Config) withDefaults() Config {
	setDefault(&c.Rate, 20)
	setDefault(&c.Timeout, 5*time.Second)
	setDefault(&c.Late, 500*time.Millisecond)
	if c.Write != nil {
		setDefault(&c.WriteShare, 0.5)
	}
	if c.Slow != nil {
		setDefault(&c.Shares, Shares{Fresh: 4, Kept: 4, Slow: 1})
	}
	setDefault(&c.Shares, Shares{Fresh: 1, Kept: 1})
	stalled := math.Ceil(float64(c.Rate) * (c.Timeout + c.Late).Seconds())
	setDefault(&c.MaxInFlight, int(max(1, min(stalled, 1000))))
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate returns everything that is wrong with c, joined, or nil. Defaults are
// applied first.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	require := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("probe: "+format, args...))
		}
	}
	require(c.Rate > 0, "rate must be at least 1 request per second, not %d", c.Rate)
	require(c.Timeout > 0, "timeout must be positive, not %s", c.Timeout)
	require(c.Late > 0, "late must be positive, not %s", c.Late)
	require(c.MaxInFlight > 0, "the limit of requests in flight must be at least 1, not %d", c.MaxInFlight)
	require(c.WriteShare >= 0 && c.WriteShare <= 1, "the share of writes must lie between 0 and 1, not %v", c.WriteShare)
	require(c.Write != nil || c.WriteShare == 0, "a share of writes needs a write request")
	for i, weight := range c.Shares.weights() {
		require(weight >= 0 && weight <= math.MaxFloat32, "the share of %s requests must be 0 or more, not %v", classes[i], weight)
	}
	require((c.Slow != nil) == (c.Shares.Slow > 0), "a slow request and its share belong together")
	require(len(c.Allowed) == 0 || c.VersionHeader != "", "allowed versions need the header that carries the version")
	if _, err := newTarget(c.URL, c.TLS); err != nil {
		errs = append(errs, err)
	} else if _, err := c.messages(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// messages compiles the requests.
func (c Config) messages() (map[role]message, error) {
	requests := map[role]*Request{read: &c.Read, write: c.Write, slow: c.Slow}
	base, err := url.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("probe: the URL: %w", err)
	}
	messages := map[role]message{}
	var errs []error
	for _, role := range []role{read, write, slow} {
		if requests[role] == nil {
			continue
		}
		m, err := newMessage(base, *requests[role])
		if err != nil {
			errs = append(errs, fmt.Errorf("probe: the %s request: %w", role, err))
		}
		messages[role] = m
	}
	return messages, errors.Join(errs...)
}

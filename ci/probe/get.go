package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Answer is a full answer to one request, of whatever status.
type Answer struct {
	Status  int
	Header  http.Header
	Body    []byte // the first 64 KiB
	Latency time.Duration
}

// Version returns what the answer says about its version: the named header or,
// without it, the text in the field "version" of a JSON body. It is empty when
// there is neither.
func (a Answer) Version(header string) string {
	if v := a.Header.Get(header); v != "" {
		return v
	}
	var body struct {
		Version string `json:"version"`
	}
	if json.Unmarshal(a.Body, &body) != nil {
		return ""
	}
	return body.Version
}

// Get asks once, on a connection of its own, and does not follow redirects. Any
// status is an answer; without a full answer within the timeout, or before ctx
// ends, there is an [*Error] of kind dial, timeout or reset. Safe for concurrent
// use.
func Get(ctx context.Context, address string, timeout time.Duration) (Answer, error) {
	u, err := url.Parse(address)
	if err != nil {
		return Answer{}, fmt.Errorf("probe: the URL: %w", err)
	}
	base := url.URL{Scheme: u.Scheme, Host: u.Host}
	t, err := newTarget(base.String(), nil)
	if err != nil {
		return Answer{}, err
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c, err := t.dial(ctx)
	if err != nil {
		return Answer{}, failf(Dial, "%w", err)
	}
	defer c.Close()
	req := &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: http.Header{}, Close: true}
	req.Header.Set("User-Agent", "cutover-probe")
	a, _, err := c.exchange(ctx, req)
	if err != nil {
		return Answer{}, c.explain(ctx, err, timeout)
	}
	a.Latency = time.Since(start)
	return a, nil
}

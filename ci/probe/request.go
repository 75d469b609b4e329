package probe

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// Request is one kind of request and what its answer must be: a status from 200
// to 299 and the body described here.
//
// In Path and Body, {n} stands for the request's number in this run, counted
// from 0, and {nonce} for 16 hexadecimal digits drawn for each request.
type Request struct {
	// Method defaults to GET, or to POST when there is a Body.
	Method string
	// Path, with an optional query, is appended to the Config's URL.
	// Default "/".
	Path string
	// Body is sent as it is.
	Body string
	// ContentType defaults to application/json when there is a Body.
	ContentType string
	// Contains is a text that the answer's body must contain. Default: any.
	// Only the first 64 KiB of a body are looked at, here and for Matches.
	Contains string
	// Matches is a regular expression that the answer's body must match.
	// Default: any.
	Matches string
}

func (r Request) withDefaults() Request {
	setDefault(&r.Path, "/")
	if r.Body != "" {
		setDefault(&r.Method, http.MethodPost)
		setDefault(&r.ContentType, "application/json")
	}
	setDefault(&r.Method, http.MethodGet)
	return r
}

// message is a Request made ready: everything that can be wrong was checked.
type message struct {
	Request
	url     *url.URL
	matches *regexp.Regexp
}

func newMessage(base *url.URL, r Request) (message, error) {
	r = r.withDefaults()
	if !strings.HasPrefix(r.Path, "/") {
		return message{}, fmt.Errorf("path %q must begin with /", r.Path)
	}
	full := strings.TrimSuffix(base.String(), "/") + r.Path
	// NewRequest knows what is a method and what an URL.
	req, err := http.NewRequest(r.Method, full, nil)
	if err != nil {
		return message{}, err
	}
	matches, err := regexp.Compile(r.Matches)
	if err != nil {
		return message{}, err
	}
	return message{Request: r, url: req.URL, matches: matches}, nil
}

func (m message) String() string { return m.Method + " " + m.Path }

// request builds request number n. With alone set it is the only one on its
// connection and says so, as a client without keep-alive does: most servers
// then close first, and this machine does not run out of ports in TIME_WAIT.
func (m message) request(n int, header map[string]string, alone bool) *http.Request {
	fill := strings.NewReplacer("{n}", strconv.Itoa(n), "{nonce}", fmt.Sprintf("%016x", rand.Uint64()))
	u := *m.url
	u.Path, u.RawPath, u.RawQuery = fill.Replace(u.Path), fill.Replace(u.RawPath), fill.Replace(u.RawQuery)
	req := &http.Request{Method: m.Method, URL: &u, Host: u.Host, Header: http.Header{}, Close: alone}
	req.Header.Set("User-Agent", "cutover-probe")
	if m.Body != "" {
		body := fill.Replace(m.Body)
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		req.Header.Set("Content-Type", m.ContentType)
	}
	for name, value := range header {
		if http.CanonicalHeaderKey(name) == "Host" {
			req.Host = value
		}
		req.Header.Set(name, value)
	}
	return req
}

// check returns what is wrong with an answer's status or body, or nil.
func (m message) check(a Answer) *Error {
	switch {
	case a.Status >= 300 && a.Status < 400:
		return failf(Status, "%d to %q (redirects are not followed)", a.Status, a.Header.Get("Location"))
	case a.Status < 200 || a.Status >= 300:
		return failf(Status, "%d %s", a.Status, excerpt(a.Body))
	case !bytes.Contains(a.Body, []byte(m.Contains)):
		return failf(Body, "%s does not contain %q", excerpt(a.Body), m.Contains)
	case !m.matches.Match(a.Body):
		return failf(Body, "%s does not match %q", excerpt(a.Body), m.Matches)
	}
	return nil
}

// excerpt is enough of a body to recognise it in a report.
func excerpt(body []byte) string { return strconv.Quote(clip(string(body), 80)) }

func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}

package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// maxBody is how much of an answer's body is kept. The rest is read, since a
// full answer is asked for, and forgotten.
const maxBody = 64 << 10

// target is where connections go.
type target struct {
	address string
	tls     *tls.Config // nil: plain http
}

func newTarget(base string, config *tls.Config) (target, error) {
	u, err := url.Parse(base)
	if err != nil {
		return target{}, fmt.Errorf("probe: the URL: %w", err)
	}
	if u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return target{}, fmt.Errorf("probe: the URL %q must be scheme, host, port and path only", u.Redacted())
	}
	t, port := target{}, "80"
	switch u.Scheme {
	case "http":
	case "https":
		port = "443"
		t.tls = tlsConfig(config, u.Hostname())
	default:
		return target{}, fmt.Errorf("probe: the URL %q must begin with http:// or https://", base)
	}
	if u.Port() != "" {
		port = u.Port()
	}
	t.address = net.JoinHostPort(u.Hostname(), port)
	return t, nil
}

func tlsConfig(config *tls.Config, host string) *tls.Config {
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	config = config.Clone()
	setDefault(&config.ServerName, host)
	config.NextProtos = nil // HTTP/1.1 only
	return config
}

// conn is one connection, owned by one request at a time.
type conn struct {
	net.Conn
	reader    *bufio.Reader
	used      int // full answers
	idleSince time.Time
}

// dial resolves the name and connects anew, within ctx.
func (t target) dial(ctx context.Context) (*conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", t.address)
	if err != nil {
		return nil, err
	}
	if t.tls != nil {
		secure := tls.Client(raw, t.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, fmt.Errorf("TLS with %s: %w", t.address, err)
		}
		raw = secure
	}
	return &conn{Conn: raw, reader: bufio.NewReader(raw)}, nil
}

// exchange sends one request and reads its answer, in one attempt, until ctx
// ends. After an error the connection is of no use; reusable says so for an
// answer.
func (c *conn) exchange(ctx context.Context, req *http.Request) (a Answer, reusable bool, err error) {
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		// The deadline of a connection that may be used again must not be set
		// from here any more.
		if !stop() {
			reusable = false
		}
	}()
	if err := req.Write(c.Conn); err != nil {
		return Answer{}, false, err
	}
	resp, err := readResponse(c.reader, req)
	if err != nil {
		return Answer{}, false, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
	}
	if err != nil {
		return Answer{}, false, err
	}
	c.used++
	c.idleSince = time.Now()
	reusable = !resp.Close && !req.Close && resp.StatusCode != http.StatusSwitchingProtocols
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: body}, reusable, nil
}

// readResponse skips interim answers such as 103 Early Hints.
func readResponse(r *bufio.Reader, req *http.Request) (*http.Response, error) {
	for {
		resp, err := http.ReadResponse(r, req)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, nil
		}
	}
}

// explain says why there was no full answer on this connection.
func (c *conn) explain(ctx context.Context, err error, timeout time.Duration) *Error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return failf(Timeout, "no full answer yet: %w", ctx.Err())
	}
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		return failf(Timeout, "no full answer within %s", timeout)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("the server closed the connection before a full answer: %w", err)
	}
	if c.used > 0 {
		idle := time.Since(c.idleSince).Round(time.Millisecond)
		err = fmt.Errorf("connection used %d times before, last %s ago: %w", c.used, idle, err)
	}
	return failf(Reset, "%w", err)
}

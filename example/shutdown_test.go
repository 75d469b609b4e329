package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// running is a server as run starts it, with the context that a SIGTERM ends.
type running struct {
	address string
	sigterm context.CancelFunc
	ended   chan error
}

func serveNotes(t *testing.T, databaseURL string, drain time.Duration) *running {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{address: listener.Addr().String(), sigterm: cancel, ended: make(chan error, 1)}
	s := newNotes(t, databaseURL)
	go func() { r.ended <- s.serve(ctx, listener, drain) }()
	t.Cleanup(cancel)
	return r
}

func (r *running) wait(t *testing.T) {
	t.Helper()
	select {
	case err := <-r.ended:
		require.NoError(t, err)
	case <-time.After(finishTimeout):
		require.Fail(t, "the server did not end")
	}
}

// client keeps its connection for as long as the server allows, as HTTP/1.1
// wants it to. Unlike http.Client it never sends a request again: one that gets
// no answer is an error.
type client struct {
	address func() string // where the next connection goes to
	conn    net.Conn
	reader  *bufio.Reader
	dials   int
}

func (c *client) do(method, path, body string) (*http.Response, error) {
	if c.conn == nil {
		conn, err := net.Dial("tcp", c.address())
		if err != nil {
			return nil, err
		}
		c.conn, c.reader = conn, bufio.NewReader(conn)
		c.dials++
	}
	_ = c.conn.SetDeadline(time.Now().Add(20 * time.Second))
	request, err := http.NewRequest(method, "http://notes"+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if err := request.Write(c.conn); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(c.reader, request)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return nil, err
	}
	if response.Close {
		c.close()
	}
	return response, nil
}

func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

func TestNoRequestOnAKeptAliveConnectionIsLostInAShutdown(t *testing.T) {
	t.Parallel()
	url := migratedDatabase(t)
	const drain = 3 * time.Second
	blue, green := serveNotes(t, url, drain), serveNotes(t, url, drain)

	// The part of Kubernetes: which server new connections go to.
	var service atomic.Pointer[running]
	service.Store(blue)

	const all = 20
	var (
		clients  sync.WaitGroup
		stop     = make(chan struct{})
		settled  atomic.Int64 // clients whose connection was kept for another request
		answered atomic.Int64
		draining atomic.Bool
		failures = make(chan error, all)
	)
	for i := range all {
		clients.Go(func() {
			c := &client{address: func() string { return service.Load().address }}
			defer c.close()
			pause := time.Duration(i) * 10 * time.Millisecond // From continual to now and then.
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				case <-time.After(pause):
				}
				method, path, body, want := "GET", "/notes?limit=5", "", http.StatusOK
				if n%2 == 0 {
					method, path, body, want = "POST", "/notes", `{"title": "Milk"}`, http.StatusCreated
				}
				response, err := c.do(method, path, body)
				switch {
				case err != nil:
				case response.StatusCode != want:
					err = errors.New(response.Status)
				case response.Close && !draining.Load():
					err = errors.New("the connection was not kept, though nothing shuts down")
				}
				if err != nil {
					failures <- fmt.Errorf("client %d, request %d: %s %s: %w", i, n, method, path, err)
					return
				}
				answered.Add(1)
				if n == 1 {
					settled.Add(1)
				}
			}
		})
	}

	assert.Eventually(t, func() bool { return settled.Load() == all },
		20*time.Second, 10*time.Millisecond, "requests before the shutdown")
	before := answered.Load()
	draining.Store(true)
	blue.sigterm()
	time.Sleep(200 * time.Millisecond) // Kubernetes learns of it a little later,
	service.Store(green)               // and clients still connect to blue until then.
	blue.wait(t)
	during := answered.Load()
	assert.Greater(t, during, before, "requests during the shutdown")
	assert.Eventually(t, func() bool { return answered.Load() > during+all },
		20*time.Second, 10*time.Millisecond, "requests after the shutdown")
	close(stop)
	clients.Wait()
	close(failures)

	for err := range failures {
		assert.NoError(t, err)
	}
	t.Logf("%d requests were answered", answered.Load())
}

func TestARequestInFlightIsFinished(t *testing.T) {
	t.Parallel()
	url := migratedDatabase(t)
	notes := serveNotes(t, url, 100*time.Millisecond)

	// A lock makes the request slow.
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(t.Context(), `BEGIN; LOCK TABLE notes`)
	require.NoError(t, err)

	type answer struct {
		*http.Response
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		c := &client{address: func() string { return notes.address }}
		defer c.close()
		response, err := c.do("POST", "/notes", `{"title": "Milk"}`)
		answers <- answer{response, err}
	}()
	require.Eventually(t, func() bool {
		var waiting bool
		err := conn.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks
			WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`).Scan(&waiting)
		return err == nil && waiting
	}, 10*time.Second, 10*time.Millisecond, "the request is in flight")

	notes.sigterm()
	require.Eventually(t, func() bool { // The drain is over: nobody listens.
		c, err := net.Dial("tcp", notes.address)
		if err == nil {
			c.Close()
		}
		return err != nil
	}, 10*time.Second, 10*time.Millisecond)
	select {
	case <-notes.ended:
		require.Fail(t, "the server ended before the request did")
	case a := <-answers:
		require.Fail(t, "the request ended before the lock did", "%v", a.err)
	case <-time.After(100 * time.Millisecond):
	}

	_, err = conn.Exec(t.Context(), `COMMIT`)
	require.NoError(t, err)
	a := <-answers
	require.NoError(t, a.err)
	assert.Equal(t, http.StatusCreated, a.StatusCode)
	assert.True(t, a.Close, "the answer closes its connection")
	notes.wait(t)
}

func TestWhileDrainingAllIsAnsweredButReadyzSaysNoAndConnectionsClose(t *testing.T) {
	t.Parallel()
	notes := serveNotes(t, migratedDatabase(t), 3*time.Second)
	base := "http://" + notes.address
	assert.False(t, get(t, base+"/notes").Close, "a connection is kept at first")

	notes.sigterm()
	require.Eventually(t, func() bool {
		code, reason := ready(t, base)
		return code == http.StatusServiceUnavailable && reason == "shutting down"
	}, 2*time.Second, 10*time.Millisecond)
	for path, code := range map[string]int{
		"/": 200, "/notes": 200, "/notes/1": 404, "/livez": 200, "/version": 200, "/metrics": 200, "/nowhere": 404,
	} {
		answer := get(t, base+path)
		assert.Equal(t, code, answer.StatusCode, path)
		assert.True(t, answer.Close, "%s closes its connection", path)
	}
	notes.wait(t)
}

func TestAnIdleConnectionIsKeptForTheWholeDrain(t *testing.T) {
	t.Parallel()
	const drain = 3 * time.Second
	notes := serveNotes(t, migratedDatabase(t), drain)
	c := &client{address: func() string { return notes.address }}
	defer c.close()
	_, err := c.do("GET", "/livez", "")
	require.NoError(t, err)

	notes.sigterm()
	time.Sleep(drain / 3)
	response, err := c.do("POST", "/notes", `{"title": "Milk"}`)
	require.NoError(t, err)
	assert.Equal(t, http.StatusCreated, response.StatusCode)
	assert.Equal(t, 1, c.dials)
	notes.wait(t)
}

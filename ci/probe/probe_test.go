package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// patient is a configuration for a loaded machine: nothing is late there.
func patient(url string) Config {
	return Config{URL: url, Rate: 100, Timeout: 10 * time.Second, Late: 10 * time.Second}
}

func server(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// probeUntil probes a server until it has been asked that many times.
func probeUntil(t *testing.T, asked int, change func(*Config), h http.HandlerFunc) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var n atomic.Int64
	c := patient(server(t, func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) == int64(asked) {
			cancel()
		}
		h(w, r)
	}))
	change(&c)
	r, err := Run(ctx, c)
	require.NoError(t, err)
	require.ErrorIs(t, ctx.Err(), context.Canceled, "the server was not asked often enough")
	return r
}

// probeRaw probes a rawServer until it was connected to that many times.
func probeRaw(t *testing.T, connections int, change func(*Config), serve func(net.Conn, *bufio.Reader)) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var n atomic.Int64
	c := patient(rawServer(t, func(c net.Conn, r *bufio.Reader) {
		if n.Add(1) == int64(connections) {
			cancel()
		}
		serve(c, r)
	}))
	change(&c)
	r, err := Run(ctx, c)
	require.NoError(t, err)
	require.ErrorIs(t, ctx.Err(), context.Canceled, "the server was not connected to often enough")
	return r
}

// probeWhile probes until a complete second is the last one asked for.
func probeWhile(t *testing.T, c Config, more func(Second) bool) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c.OnSecond = func(s Second) {
		if !more(s) {
			cancel()
		}
	}
	r, err := Run(ctx, c)
	require.NoError(t, err)
	require.ErrorIs(t, ctx.Err(), context.Canceled, "what was waited for did not come")
	return r
}

func nothingFailed(s Second) bool { return s.Failed == 0 }

// rawServer gives every connection to serve and closes it after that.
func rawServer(t *testing.T, serve func(c net.Conn, r *bufio.Reader)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var all sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		all.Wait()
	})
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(10 * time.Second))
				serve(c, bufio.NewReader(c))
			})
		}
	})
	return "http://" + l.Addr().String()
}

func anything(*Config) {}

func onlyKept(c *Config) { c.Shares = Shares{Kept: 1} }

func ok(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }

// onlyKind asserts that requests failed, all of them in this one way.
func onlyKind(t *testing.T, r Result, kind Kind) {
	t.Helper()
	assert.Positive(t, r.Failed)
	assert.Equal(t, r.Failed, r.Failures[kind].Count, "%v", r.Failures)
	assert.ErrorIs(t, r.Verdict(Minimum{}), ErrLost)
	assert.ErrorContains(t, r.Verdict(Minimum{}), string(kind))
}

func TestHealthyServerLosesNothingAndTheRateIsKept(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	c := patient(server(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		ok(w, r)
	}))
	seconds := 0
	r := probeWhile(t, c, func(Second) bool { seconds++; return seconds < 2 })

	require.NoError(t, r.Verdict(Minimum{OK: c.Rate, OKEach: c.Rate / 2, From: r.Start, Through: r.End}))
	assert.EqualValues(t, asked.Load(), r.Sent)
	assert.Equal(t, r.Sent, r.OK)
	// Seconds go by due time: a whole one has exactly its share, however busy
	// this machine is.
	assert.Equal(t, c.Rate, r.Seconds[1].Sent)
	assert.Equal(t, c.Rate/2, r.Seconds[1].Classes[Fresh].Sent)

	fresh, kept := r.Classes[Fresh], r.Classes[Kept]
	assert.InDelta(t, fresh.Sent, kept.Sent, 1)
	assert.Equal(t, fresh.Sent, fresh.Connections)
	assert.Less(t, kept.Connections, kept.Sent, "kept connections are used again")
	assert.Positive(t, r.Classes[Fresh].P50)
	assert.GreaterOrEqual(t, r.Classes[Fresh].Max, r.Classes[Fresh].P99)
}

// dropper lets go of a kept-alive connection without having said so, once it has
// read that many requests; all but the first stay without an answer.
func dropper(reads int, asked *atomic.Int64) func(net.Conn, *bufio.Reader) {
	return func(c net.Conn, r *bufio.Reader) {
		for n := range reads {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			asked.Add(1)
			if n == 0 {
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			}
		}
	}
}

func TestServerThatDropsIdleConnectionsShowsFailures(t *testing.T) {
	t.Parallel()
	r := probeWhile(t, patient(rawServer(t, dropper(1, new(atomic.Int64)))), nothingFailed)
	onlyDroppedConnectionsFail(t, r)
}

func TestServerThatDropsAKeptConnectionWithTheRequestOnItShowsFailures(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	r := probeWhile(t, patient(rawServer(t, dropper(2, &asked))), nothingFailed)
	onlyDroppedConnectionsFail(t, r)
	assert.EqualValues(t, r.Sent, asked.Load(), "nothing was sent twice")
}

func onlyDroppedConnectionsFail(t *testing.T, r Result) {
	t.Helper()
	onlyKind(t, r, Reset)
	assert.Zero(t, r.Classes[Fresh].Failed)
	assert.Positive(t, r.Classes[Kept].Failed)
	assert.Contains(t, r.Failures[Reset].First[0].Detail, "used 1 times before")
}

// The control: why the prober does not use net/http's client.
func TestNetHTTPClientHidesDroppedConnections(t *testing.T) {
	t.Parallel()
	for _, reads := range []int{1, 2} {
		var asked atomic.Int64
		url := rawServer(t, dropper(reads, &asked))
		client := &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second}
		for range 20 {
			resp, err := client.Get(url)
			require.NoError(t, err)
			_, err = io.Copy(io.Discard, resp.Body)
			require.NoError(t, err)
			resp.Body.Close()
		}
		client.CloseIdleConnections()
		if reads == 2 {
			assert.Greater(t, asked.Load(), int64(20), "some were sent twice, and nobody was told")
		}
	}
}

func TestEveryServerErrorIsCounted(t *testing.T) {
	t.Parallel()
	var asked, errors atomic.Int64
	r := probeUntil(t, 60, anything, func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1)%20 == 1 {
			errors.Add(1)
			http.Error(w, "out of order", http.StatusInternalServerError)
			return
		}
		ok(w, r)
	})
	onlyKind(t, r, Status)
	assert.EqualValues(t, errors.Load(), r.Failed)
	assert.EqualValues(t, asked.Load(), r.OK+r.Failed)
	assert.Len(t, r.Failures[Status].First, maxSamples)
	assert.Contains(t, r.Failures[Status].First[0].Detail, `500 "out of order`)
	assert.ErrorContains(t, r.Verdict(Minimum{}), fmt.Sprintf("%d of %d failed", r.Failed, r.Sent))
}

func TestServerTooSlowToAnswerIsATimeout(t *testing.T) {
	t.Parallel()
	r := probeUntil(t, 20, func(c *Config) { c.Timeout = 500 * time.Millisecond }, func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done() // the prober has hung up
	})
	assert.Zero(t, r.OK)
	assert.Positive(t, r.Failures[Timeout].Count)
	// On a busy machine already the dialling may take too long.
	assert.Equal(t, r.Sent, r.Failures[Timeout].Count+r.Failures[Dial].Count)
	assert.ErrorIs(t, r.Verdict(Minimum{}), ErrLost)
}

func TestAnswerCutShortIsAReset(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"no answer":      "",
		"in the header":  "HTTP/1.1 200 OK\r\nContent-",
		"in the body":    "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
		"in a chunk":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok",
		"between chunks": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
		"not HTTP":       "220 smtp.example.com ESMTP\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := probeRaw(t, 10, anything, func(c net.Conn, r *bufio.Reader) {
				http.ReadRequest(r)
				io.WriteString(c, answer)
			})
			onlyKind(t, r, Reset)
			assert.Zero(t, r.OK)
		})
	}
}

func TestConnectionCloseIsNotAFailure(t *testing.T) {
	t.Parallel()
	r := probeUntil(t, 20, onlyKept, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		ok(w, r)
	})
	require.NoError(t, r.Verdict(Minimum{OK: 20}))
	assert.Equal(t, r.Sent, r.Classes[Kept].Connections)
}

func TestHTTP10ServerIsNotAFailure(t *testing.T) {
	t.Parallel()
	r := probeRaw(t, 20, onlyKept, func(c net.Conn, r *bufio.Reader) {
		http.ReadRequest(r)
		io.WriteString(c, "HTTP/1.0 200 OK\r\n\r\nok")
	})
	require.NoError(t, r.Verdict(Minimum{}))
	assert.Equal(t, r.Sent, r.Classes[Kept].Connections)
}

func TestInterimAnswersAreSkipped(t *testing.T) {
	t.Parallel()
	r := probeUntil(t, 10, anything, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		ok(w, r)
	})
	require.NoError(t, r.Verdict(Minimum{OK: 10}))
}

func TestRedirectIsAFailure(t *testing.T) {
	t.Parallel()
	r := probeUntil(t, 10, anything, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/login", http.StatusFound)
	})
	onlyKind(t, r, Status)
	assert.Contains(t, r.Failures[Status].First[0].Detail, `302 to "/login"`)
}

func TestUnexpectedBodyIsAFailure(t *testing.T) {
	t.Parallel()
	for name, read := range map[string]Request{
		"contains": {Contains: "notes"},
		"matches":  {Matches: `^\[.*\]$`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := probeUntil(t, 10, func(c *Config) { c.Read = read }, ok)
			onlyKind(t, r, Body)
			assert.Contains(t, r.Failures[Body].First[0].Detail, `"ok" does not `)
		})
	}
}

func TestWrongOrMissingVersionIsAFailure(t *testing.T) {
	t.Parallel()
	allow := func(c *Config) { c.VersionHeader, c.Allowed = "Notes-Version", []string{"v1", "v2"} }
	for version, detail := range map[string]string{
		"v3": `version "v3" is none of ["v1" "v2"]`,
		"":   "no version in the header Notes-Version",
	} {
		t.Run("version "+version, func(t *testing.T) {
			t.Parallel()
			r := probeUntil(t, 10, allow, func(w http.ResponseWriter, r *http.Request) {
				if version != "" {
					w.Header().Set("Notes-Version", version)
				}
				ok(w, r)
			})
			onlyKind(t, r, Version)
			assert.Equal(t, detail, r.Failures[Version].First[0].Detail)
		})
	}
}

func TestVersionsAreCountedPerSecondAndClass(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	r := probeUntil(t, 60, func(c *Config) {
		c.VersionHeader, c.Allowed = "Notes-Version", []string{"v1", "v2"}
	}, func(w http.ResponseWriter, r *http.Request) {
		version := "v1"
		if asked.Add(1) > 30 {
			version = "v2"
		}
		w.Header().Set("Notes-Version", version)
		ok(w, r)
	})
	require.NoError(t, r.Verdict(Minimum{}))
	assert.Equal(t, 30, r.Versions["v1"])
	assert.Equal(t, r.Sent-30, r.Versions["v2"])
	seconds, classes := map[string]int{}, map[string]int{}
	for _, s := range r.Seconds {
		for v, n := range s.Versions {
			seconds[v] += n
		}
	}
	for _, c := range r.Classes {
		for v, n := range c.Versions {
			classes[v] += n
		}
	}
	assert.Equal(t, r.Versions, seconds)
	assert.Equal(t, r.Versions, classes)
}

func TestNobodyListeningIsADialFailure(t *testing.T) {
	t.Parallel()
	r := probeWhile(t, patient(nobody(t)), nothingFailed)
	onlyKind(t, r, Dial)
	assert.Zero(t, r.OK)
	assert.Contains(t, r.Failures[Dial].First[0].Detail, "refused")
}

// nobody returns the address of a listener that is gone.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return "http://" + l.Addr().String()
}

func TestStalledServerMakesTheNextRequestsLate(t *testing.T) {
	t.Parallel()
	// The fourth is let through when the first has timed out.
	r := probeUntil(t, 4, func(c *Config) {
		c.MaxInFlight, c.Late, c.Timeout = 3, 50*time.Millisecond, 500*time.Millisecond
	}, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	assert.Zero(t, r.OK)
	assert.Positive(t, r.Failures[Late].Count)
	assert.Equal(t, r.Failed, r.Sent+r.Failures[Late].Count)
	assert.ErrorIs(t, r.Verdict(Minimum{}), ErrLost)
}

func TestRequestsInFlightAtTheEndAreCounted(t *testing.T) {
	t.Parallel()
	var answered atomic.Int64
	// The very first request ends the run before it is answered.
	r := probeUntil(t, 1, anything, func(w http.ResponseWriter, r *http.Request) {
		ok(w, r)
		answered.Add(1)
	})
	require.NoError(t, r.Verdict(Minimum{}))
	assert.EqualValues(t, answered.Load(), r.OK)
}

func TestNoRequestsProveNothing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, err := Run(ctx, patient(server(t, ok)))
	require.NoError(t, err)
	assert.Zero(t, r.Sent+r.Failed)
	assert.ErrorIs(t, r.Verdict(Minimum{}), ErrUnproven)
}

func TestWritesCarryTheirBodyInBothClasses(t *testing.T) {
	t.Parallel()
	type note struct{ N, Nonce string }
	var mu sync.Mutex
	seen, shares := map[note]int{}, map[string]int{}
	r := probeUntil(t, 40, func(c *Config) {
		c.Read = Request{Path: "/notes"}
		c.Write = &Request{Path: "/notes?n={n}", Body: `{"n":"{n}","nonce":"{nonce}"}`}
		c.Header = map[string]string{"Cutover-Probe": "run-7", "Host": "notes.example.com"}
	}, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		shares[fmt.Sprintf("%s close=%t", r.Method, r.Close)]++
		assert.Equal(t, "run-7", r.Header.Get("Cutover-Probe"))
		assert.Equal(t, "notes.example.com", r.Host)
		assert.Equal(t, "/notes", r.URL.Path)
		if r.Method == http.MethodGet {
			return
		}
		var n note
		assert.NoError(t, json.NewDecoder(r.Body).Decode(&n))
		assert.Equal(t, r.URL.Query().Get("n"), n.N)
		assert.Equal(t, "application/json", r.Header.Get("Content-Type"))
		seen[n]++
		w.WriteHeader(http.StatusCreated)
	})
	require.NoError(t, r.Verdict(Minimum{}))
	assert.InDelta(t, r.Sent/2, len(seen), 1, "every write is another note")
	for _, s := range []string{"GET close=true", "GET close=false", "POST close=true", "POST close=false"} {
		assert.InDelta(t, r.Sent/4, shares[s], 1, s)
	}
}

func TestSlowRequestsHaveAClassOfTheirOwn(t *testing.T) {
	t.Parallel()
	var slow atomic.Int64
	two := make(chan struct{})
	r := probeUntil(t, 45, func(c *Config) { c.Slow = &Request{Path: "/slow"} }, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/slow" {
			ok(w, r)
			return
		}
		// The first is answered when the second has come: nothing waits for it.
		if slow.Add(1) == 2 {
			close(two)
		}
		<-two
		ok(w, r)
	})
	require.NoError(t, r.Verdict(Minimum{OKEach: 1}))
	assert.InDelta(t, r.Sent/9, r.Classes[Slow].Sent, 1)
}

func TestHTTPSIsProbedToo(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.HandlerFunc(ok))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	c := patient(s.URL)
	c.Rate, c.TLS = 4, &tls.Config{RootCAs: roots}
	r := probeWhile(t, c, func(s Second) bool { return s.Sent < c.Rate })
	require.NoError(t, r.Verdict(Minimum{OKEach: 2}))

	_, err := Get(t.Context(), s.URL, 10*time.Second)
	assert.Equal(t, Dial, kindOf(t, err), "the system does not know this certificate")
}

func TestSlowReceiverOfSecondsDoesNotDisturbTheSchedule(t *testing.T) {
	t.Parallel()
	enough := make(chan struct{})
	var asked atomic.Int64
	var got []Second
	r := probeUntil(t, 120, func(c *Config) {
		c.OnSecond = func(s Second) {
			<-enough
			got = append(got, s)
		}
	}, func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 120 {
			close(enough)
		}
		ok(w, r)
	})
	require.NoError(t, r.Verdict(Minimum{OK: 120}))
	assert.Equal(t, r.Seconds, got)
}

func TestResultIsPlainJSON(t *testing.T) {
	t.Parallel()
	r := probeUntil(t, 10, anything, ok)
	data, err := json.Marshal(r)
	require.NoError(t, err)
	var back Result
	require.NoError(t, json.Unmarshal(data, &back))
	assert.Equal(t, r, back)
	assert.NotContains(t, string(data), "first_mixed")
	for _, name := range []string{`"start":"`, `"sent":`, `"p99_ms":`, `"connections":`, `"seconds":[{"at":"`} {
		assert.Contains(t, string(data), name)
	}
}

func BenchmarkProber500PerSecond(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(ok))
	defer s.Close()
	for b.Loop() {
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		r, err := Run(ctx, Config{URL: s.URL, Rate: 500})
		cancel()
		require.NoError(b, err)
		require.NoError(b, r.Verdict(Minimum{}))
		b.ReportMetric(r.Classes[Kept].P99, "kept-p99-ms")
	}
}

func TestBadConfigurationIsRefusedWithAllItsFaults(t *testing.T) {
	t.Parallel()
	_, err := Run(t.Context(), Config{
		URL: "ftp://example.com", Rate: -1, Timeout: -1, Late: -1, MaxInFlight: -1, WriteShare: 2,
		Shares: Shares{Fresh: -1, Slow: 1}, Allowed: []string{"v1"},
	})
	require.Error(t, err)
	for _, fault := range []string{"http:// or https://", "rate", "timeout", "late", "in flight", "between 0 and 1", "needs a write request", "share of fresh", "slow request", "header that carries the version"} {
		assert.ErrorContains(t, err, fault)
	}
	for fault, c := range map[string]Config{
		"scheme, host, port":  {},
		"must begin with /":   {URL: "http://a", Read: Request{Path: "notes"}},
		"the write request":   {URL: "http://a", Write: &Request{Method: "P OST"}},
		"missing closing":     {URL: "http://a", Read: Request{Matches: "("}},
		"path only":           {URL: "http://user:secret@a"},
		"invalid URL escape":  {URL: "http://a", Read: Request{Path: "/%zz"}},
		"belong together":     {URL: "http://a", Slow: &Request{}, Shares: Shares{Fresh: 1}},
		"invalid character":   {URL: "http://a b"},
		"share of kept reque": {URL: "http://a", Shares: Shares{Kept: -2}},
	} {
		err := c.Validate()
		assert.ErrorContains(t, err, fault)
		assert.NotContains(t, fmt.Sprint(err), "secret")
	}
	assert.NoError(t, Config{URL: "http://a"}.Validate())
	assert.NoError(t, Config{URL: "https://a:8443/prefix", Slow: &Request{}}.Validate())
}

func TestRequestsGoBelowThePrefixOfTheURL(t *testing.T) {
	t.Parallel()
	var paths sync.Map
	r := probeUntil(t, 10, func(c *Config) {
		c.URL += "/app/"
		c.Read.Path = "/a%2Fb?q=x%20y"
	}, func(_ http.ResponseWriter, r *http.Request) { paths.Store(r.RequestURI, true) })
	require.NoError(t, r.Verdict(Minimum{}))
	paths.Range(func(path, _ any) bool { return assert.Equal(t, "/app/a%2Fb?q=x%20y", path) })
}

func TestLongTextsAreClipped(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "short", clip("short", 5))
	assert.Equal(t, strings.Repeat("é", 2)+"…", clip(strings.Repeat("é", 9), 5))
}

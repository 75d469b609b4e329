package agent

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cutover.dev/ci/probe"
)

func TestALineIsReadAsItWasSaid(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	sighting := Sighting{Target: Live, At: at, Asked: 3, Last: Identity{"1", "r1"}, Streak: 2}
	second := probe.Second{
		At: at, Count: probe.Count{Sent: 2, OK: 1, Failed: 1}, Latency: probe.Latency{P50: 1, P99: 2, Max: 3},
		Classes:      map[probe.Class]probe.Count{probe.Kept: {Sent: 2, OK: 1, Failed: 1}},
		Failures:     map[probe.Kind]int{probe.Reset: 1},
		FirstFailure: &probe.Failure{At: at, Class: probe.Kept, Kind: probe.Reset, Request: "GET /", Detail: "gone"},
	}
	var out bytes.Buffer
	p := newPrinter(&out)
	p.sighting(sighting)
	p.second("preview", second)
	p.guard("at work")
	measured := Measurement{Metric: "errors", At: at, Least: 1, Most: 2}
	p.measurement(measured)
	require.NoError(t, p.close())

	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 4)
	require.Equal(t, `{"target":"live","at":"2026-03-01T12:00:00Z","asked":3,"last":{"version":"1","release":"r1"},"streak":2}`, lines[0])
	require.True(t, strings.HasPrefix(lines[1], `{"probe":"preview","second":{"at":"2026-03-01T12:00:00Z","sent":2,`), lines[1])
	require.Regexp(t, `^{"guard":{"at":"[^"]+","what":"at work"}}$`, lines[2])

	var read []Line
	for _, l := range lines {
		line, ok := Parse([]byte(l))
		require.True(t, ok)
		read = append(read, line)
	}
	require.Equal(t, Line{Sighting: &sighting}, read[0])
	require.Equal(t, Line{Probe: "preview", Second: second}, read[1])
	require.Equal(t, "at work", read[2].Guard.What)
	require.False(t, read[2].Guard.At.IsZero())
	require.Equal(t, Line{Measurement: &measured}, read[3])
}

func TestWhatIsNoLineIsNotRead(t *testing.T) {
	for _, text := range []string{"", "{}", "error: no such flag", `{"target":"live","at":`, `{"target":1}`, `["probe"]`, `{"guard":null}`} {
		line, ok := Parse([]byte(text))
		require.False(t, ok, text)
		require.Equal(t, Line{}, line)
	}
}

func TestALogThatNobodyTakesHoldsNobodyUp(t *testing.T) {
	r, w := io.Pipe()
	p := newPrinter(w)
	for range 10 * backlog { // the first is never taken
		p.guard("at work")
	}
	require.NoError(t, r.Close())
	require.ErrorContains(t, p.close(), "write what was seen")
}

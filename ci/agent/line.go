package agent

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"cutover.dev/ci/probe"
)

// Line is one line of the agent's output: a Sighting, a probe's second, a
// Measurement, or what the guard said.
type Line struct {
	Sighting    *Sighting
	Measurement *Measurement
	// Probe is the name of the Probe that Second is from, empty for other lines.
	Probe  string
	Second probe.Second
	Guard  *GuardLine
}

// GuardLine says what the guard does and why, whenever that changes.
type GuardLine struct {
	At   time.Time `json:"at"`
	What string    `json:"what"`
}

// secondLine and guardLine are how the two are printed. A Sighting and a Measurement
// are printed as they are.
type (
	secondLine struct {
		Probe  string       `json:"probe"`
		Second probe.Second `json:"second"`
	}
	guardLine struct {
		Guard *GuardLine `json:"guard"`
	}
)

// Parse reads one line of the agent's output. It returns false for anything
// else, such as half a line or an error message.
func Parse(line []byte) (Line, bool) {
	var all struct {
		Sighting
		secondLine
		guardLine
		Metric string `json:"metric"`
	}
	switch err := json.Unmarshal(line, &all); {
	case err != nil:
		return Line{}, false
	case all.Metric != "":
		var m Measurement
		err := json.Unmarshal(line, &m) // apart: both it and a Sighting say "at"
		return Line{Measurement: &m}, err == nil
	case all.Guard != nil:
		return Line{Guard: all.Guard}, true
	case all.Probe != "":
		return Line{Probe: all.Probe, Second: all.Second}, true
	case all.Target != "":
		return Line{Sighting: &all.Sighting}, true
	default:
		return Line{}, false
	}
}

// backlog is how many lines wait for whoever takes the output. Beyond it lines
// are lost: a log that nobody takes must hold up neither prober nor guard.
const backlog = 1000

// printer writes lines in the order in which they were said. Safe for concurrent
// use until close.
type printer struct {
	lines chan any
	done  chan error
}

func newPrinter(out io.Writer) *printer {
	p := &printer{lines: make(chan any, backlog), done: make(chan error, 1)}
	go func() {
		var first error
		enc := json.NewEncoder(out)
		for line := range p.lines {
			if err := enc.Encode(line); err != nil && first == nil {
				first = fmt.Errorf("write what was seen: %w", err)
			}
		}
		p.done <- first
	}()
	return p
}

func (p *printer) sighting(s Sighting) { p.say(s) }

func (p *printer) measurement(m Measurement) { p.say(m) }

func (p *printer) second(name string, s probe.Second) {
	p.say(secondLine{Probe: name, Second: s})
}

func (p *printer) guard(what string) {
	p.say(guardLine{&GuardLine{At: time.Now().UTC(), What: what}})
}

func (p *printer) say(line any) {
	select {
	case p.lines <- line:
	default:
	}
}

// close returns the first error once every line was written.
func (p *printer) close() error {
	close(p.lines)
	return <-p.done
}

// Identity is who answered.
type Identity struct {
	Version string `json:"version"`
	// Release is empty when the application does not tell.
	Release string `json:"release,omitempty"`
}

// Is reports whether the answer came from the given release: its version is the
// same and, where the application tells, its release.
func (id Identity) Is(version, release string) bool {
	return id.Version == version && (id.Release == "" || id.Release == release)
}

// Sighting is one line of the agent's output: what a target answered lately.
type Sighting struct {
	Target string    `json:"target"`
	At     time.Time `json:"at"`
	// Asked counts every request to the target since the agent started.
	Asked int `json:"asked"`
	// Last is who answered the newest Streak requests in a row, each on a fresh
	// connection. Streak is 0 when the newest one was not answered.
	Last   Identity `json:"last"`
	Streak int      `json:"streak"`
	// Error is why the newest request was not answered.
	Error string `json:"error,omitempty"`
}

// Package smoke reads what a smoke suite said: the verbose output of Go's test
// runner, or of any other program.
package smoke

import (
	"regexp"
	"strconv"
	"strings"

	"cutover.dev/ci/release"
)

// What is kept of a suite has to fit into the run's record, beside all the rest.
const (
	maxTests  = 100
	maxOutput = 1500 // bytes of each failed test, the last ones
	maxFailed = 6    // failed tests whose output is kept
)

var (
	// Both are what testing prints with -test.v, see testing.(*common).report.
	begin = regexp.MustCompile(`^=== (RUN|CONT|NAME|PAUSE) +(\S*)$`)
	end   = regexp.MustCompile(`^ *--- (PASS|FAIL|SKIP): (\S+) \(([0-9.]+)s\)$`)
)

var results = map[string]release.Result{"PASS": release.Pass, "FAIL": release.Fail, "SKIP": release.Skip}

// Parse returns the tests that a verbose run of Go's test runner tells of, in the
// order in which they ended, subtests among them. A test that began and never
// ended has failed: the program was ended in its midst. There are none in the
// output of another program.
func Parse(log string) []release.Test {
	p := parser{output: map[string]*strings.Builder{}}
	for line := range strings.Lines(log) {
		p.line(strings.TrimRight(line, "\r\n"))
	}
	for _, name := range p.begun {
		if !p.ended[name] {
			p.end(name, release.Fail, 0)
		}
	}
	return p.kept()
}

type parser struct {
	tests   []release.Test
	current string // whose output comes now
	output  map[string]*strings.Builder
	begun   []string
	ended   map[string]bool
}

func (p *parser) line(text string) {
	if m := begin.FindStringSubmatch(text); m != nil {
		if p.current = m[2]; m[1] == "RUN" {
			p.begun = append(p.begun, p.current)
			p.output[p.current] = new(strings.Builder)
		}
		return
	}
	if m := end.FindStringSubmatch(text); m != nil {
		seconds, _ := strconv.ParseFloat(m[3], 64)
		p.end(m[2], results[m[1]], seconds)
		return
	}
	if out := p.output[p.current]; out != nil {
		out.WriteString(text + "\n")
	}
}

func (p *parser) end(name string, r release.Result, seconds float64) {
	if p.ended == nil {
		p.ended = map[string]bool{}
	}
	p.ended[name] = true
	t := release.Test{Name: name, Result: r, Seconds: seconds}
	if out := p.output[name]; out != nil && r == release.Fail {
		t.Output = Tail(out.String(), maxOutput)
	}
	p.tests = append(p.tests, t)
}

// kept returns what there is room for: failed tests before all others.
func (p *parser) kept() []release.Test {
	failed := 0
	for i := range p.tests {
		if p.tests[i].Output == "" {
			continue
		}
		if failed++; failed > maxFailed {
			p.tests[i].Output = ""
		}
	}
	for i := 0; i < len(p.tests) && len(p.tests) > maxTests; {
		if p.tests[i].Result == release.Fail {
			i++
			continue
		}
		p.tests = append(p.tests[:i], p.tests[i+1:]...)
	}
	return p.tests[:min(len(p.tests), maxTests)]
}

// Tail returns the last whole lines of a text, of at most so many bytes.
func Tail(text string, bytes int) string {
	text = strings.TrimRight(text, "\n")
	if len(text) <= bytes {
		return text
	}
	text = text[len(text)-bytes:]
	if _, rest, found := strings.Cut(text, "\n"); found {
		text = rest
	}
	return strings.ToValidUTF8("…\n"+text, "")
}

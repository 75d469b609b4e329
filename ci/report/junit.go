package report

import (
	"encoding/xml"
	"fmt"
	"strings"

	"cutover.dev/ci/release"
)

// The JUnit format as CI systems read it: https://github.com/testmoapp/junitxml.
type (
	testSuites struct {
		XMLName  xml.Name    `xml:"testsuites"`
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Suites   []testSuite `xml:"testsuite"`
	}
	testSuite struct {
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Skipped  int        `xml:"skipped,attr"`
		Time     string     `xml:"time,attr"`
		Cases    []testCase `xml:"testcase"`
	}
	testCase struct {
		Class   string    `xml:"classname,attr"`
		Name    string    `xml:"name,attr"`
		Time    string    `xml:"time,attr"`
		Failure *failure  `xml:"failure,omitempty"`
		Skipped *struct{} `xml:"skipped,omitempty"`
	}
	failure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",cdata"`
	}
)

// JUnit returns the run as test results: a suite of its steps, and one of the
// smoke tests of each step that ran some. A step that was never begun is skipped.
func JUnit(rec *release.Record) ([]byte, error) {
	all := testSuites{Name: fmt.Sprintf("%s %s to %s", rec.Release.Env.App, rec.Release.Version, rec.Release.Env.Name)}
	steps := testSuite{Name: "steps"}
	var took float64
	for _, s := range rec.Steps {
		c := testCase{Class: "steps", Name: s.Name, Time: inSeconds(s.Seconds())}
		switch {
		case s.Error != "":
			c.Failure = &failure{Message: firstLine(s.Error), Text: s.Error}
		case s.Ended == nil:
			c.Skipped = new(struct{})
		}
		took += s.Seconds()
		steps.add(c)
	}
	steps.Time = inSeconds(took)
	all.add(steps)
	for _, s := range rec.Steps {
		if len(s.Tests) > 0 {
			all.add(smokeSuite(s))
		}
	}
	data, err := xml.MarshalIndent(all, "", "  ")
	return append([]byte(xml.Header), append(data, '\n')...), err
}

func smokeSuite(s release.Step) testSuite {
	suite := testSuite{Name: "smoke tests in " + s.Name}
	var took float64
	for _, t := range s.Tests {
		c := testCase{Class: "smoke." + s.Name, Name: t.Name, Time: inSeconds(t.Seconds)}
		switch t.Result {
		case release.Fail:
			c.Failure = &failure{Message: t.Name + " failed", Text: t.Output}
		case release.Skip:
			c.Skipped = new(struct{})
		}
		took += t.Seconds
		suite.add(c)
	}
	suite.Time = inSeconds(took)
	return suite
}

func (s *testSuite) add(c testCase) {
	s.Cases = append(s.Cases, c)
	s.Tests++
	if c.Failure != nil {
		s.Failures++
	}
	if c.Skipped != nil {
		s.Skipped++
	}
}

func (a *testSuites) add(s testSuite) {
	a.Suites = append(a.Suites, s)
	a.Tests, a.Failures, a.Skipped = a.Tests+s.Tests, a.Failures+s.Failures, a.Skipped+s.Skipped
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

func inSeconds(s float64) string { return fmt.Sprintf("%.3f", s) }

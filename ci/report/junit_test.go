package report

import (
	"testing"

	"github.com/stretchr/testify/require"

	"cutover.dev/ci/release"
)

func TestJUnitTellsStepsAndSmokeTests(t *testing.T) {
	rec := record()
	rec.Steps[1].Error = "smoke tests against notes: the Job failed\n  TestBad"
	rec.Steps[1].Tests = []release.Test{
		{Name: "TestGood", Result: release.Pass, Seconds: 0.5},
		{Name: "TestBad", Result: release.Fail, Seconds: 0.25, Output: "a < b"},
		{Name: "TestLater", Result: release.Skip},
	}
	rec.Steps = append(rec.Steps, release.Step{Name: "bake", State: release.Pending})
	data, err := JUnit(rec)
	require.NoError(t, err)
	require.Equal(t, `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="notes 1.1.0 to prod" tests="6" failures="2" skipped="2">
  <testsuite name="steps" tests="3" failures="1" skipped="1" time="13.340">
    <testcase classname="steps" name="raise" time="12.340"></testcase>
    <testcase classname="steps" name="verify-live" time="1.000">
      <failure message="smoke tests against notes: the Job failed"><![CDATA[smoke tests against notes: the Job failed
  TestBad]]></failure>
    </testcase>
    <testcase classname="steps" name="bake" time="0.000">
      <skipped></skipped>
    </testcase>
  </testsuite>
  <testsuite name="smoke tests in verify-live" tests="3" failures="1" skipped="1" time="0.750">
    <testcase classname="smoke.verify-live" name="TestGood" time="0.500"></testcase>
    <testcase classname="smoke.verify-live" name="TestBad" time="0.250">
      <failure message="TestBad failed"><![CDATA[a < b]]></failure>
    </testcase>
    <testcase classname="smoke.verify-live" name="TestLater" time="0.000">
      <skipped></skipped>
    </testcase>
  </testsuite>
</testsuites>
`, string(data))
}

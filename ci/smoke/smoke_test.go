package smoke

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"cutover.dev/ci/release"
)

// This is what a compiled test program prints with -test.v.
const log = `=== RUN   TestOne
    smoke_test.go:1: version "2"
--- PASS: TestOne (0.01s)
=== RUN   TestBad
=== PAUSE TestBad
=== RUN   TestSub
=== RUN   TestSub/inner
    smoke_test.go:9: 404
--- FAIL: TestSub (0.02s)
    --- FAIL: TestSub/inner (0.01s)
=== CONT  TestBad
    smoke_test.go:5: one
        two
--- SKIP: TestBad (0.00s)
FAIL
`

func TestEveryTestIsReadWithItsOwnOutput(t *testing.T) {
	require.Equal(t, []release.Test{
		{Name: "TestOne", Result: release.Pass, Seconds: 0.01},
		{Name: "TestSub", Result: release.Fail, Seconds: 0.02},
		{Name: "TestSub/inner", Result: release.Fail, Seconds: 0.01, Output: "    smoke_test.go:9: 404"},
		{Name: "TestBad", Result: release.Skip},
	}, Parse(log))
}

func TestATestThatNeverEndedHasFailed(t *testing.T) {
	require.Equal(t, []release.Test{{Name: "TestHangs", Result: release.Fail, Output: "panic: test timed out after 2s"}},
		Parse("=== RUN   TestHangs\npanic: test timed out after 2s\n"))
}

func TestAnotherProgramsOutputHasNoTests(t *testing.T) {
	require.Empty(t, Parse("checks: 3 of 3 passed\n"))
	require.Empty(t, Parse(""))
}

func TestWhatIsKeptFitsIntoARecord(t *testing.T) {
	var text strings.Builder
	for i := range 500 {
		fmt.Fprintf(&text, "=== RUN   TestN%d\n%s\n--- %s: TestN%[1]d (0.00s)\n", i, strings.Repeat("x", 100_000), map[bool]string{true: "FAIL", false: "PASS"}[i%10 == 9])
	}
	tests := Parse(text.String())
	require.Len(t, tests, maxTests)
	size, failed := 0, 0
	for _, test := range tests {
		size += len(test.Name) + len(test.Output)
		if test.Result == release.Fail {
			failed++
		}
	}
	assert.Less(t, size, 16<<10)
	assert.Equal(t, 50, failed, "none of the failed ones may go")
}

func TestTailKeepsWholeLines(t *testing.T) {
	require.Equal(t, "a\nb", Tail("a\nb\n", 10))
	require.Equal(t, "…\nlast", Tail("first\nmiddle\nlast\n", 8))
}

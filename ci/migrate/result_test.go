package migrate

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAResultIsFoundInALogAsItWasWritten(t *testing.T) {
	want := Result{From: 1, To: 3, Applied: []Applied{{Version: 2, File: "2_tags.sql", Seconds: 0.25}, {Version: 3, File: "3_x.sql"}}, Failed: "4_y.sql", Error: "line 1\nline 2"}
	require.NotContains(t, want.Line(), "\n")
	for _, log := range []string{
		want.Line(), want.Line() + "\n", "connecting\n" + want.Line() + "\nerror: no\n",
		Result{From: 9}.Line() + "\n" + want.Line() + "\n",
	} {
		got, found := ParseResult(log)
		require.True(t, found)
		require.Equal(t, want.Failed, got.Failed)
		require.Equal(t, want, got, "the last one counts")
	}
}

func TestALogWithoutAResultHasNone(t *testing.T) {
	for _, log := range []string{"", "connecting\n", "result: {", "the result: {}", "result: \n"} {
		_, found := ParseResult(log)
		require.False(t, found, log)
	}
}

func TestAResultInOneLine(t *testing.T) {
	require.Equal(t, "schema is at 3; nothing to apply", Result{From: 3, To: 3}.String())
	require.Equal(t, "schema 1 -> 3: 2_tags.sql, 3_x.sql", Result{From: 1, To: 3, Applied: []Applied{{File: "2_tags.sql"}, {File: "3_x.sql"}}}.String())
}

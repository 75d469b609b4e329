package plan

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cutover.dev/ci/release"
)

// history is
//
//	a - b - c - d     the trunk
//	      \
//	       x - y      a branch, merged as m
const history = "m d y\nd c\nc b\ny x\nx b\nb a\na\n"

func ancestry(t *testing.T, text string) Ancestry {
	t.Helper()
	a, err := ReadAncestry(strings.NewReader(text))
	require.NoError(t, err)
	return a
}

func committed(commit string, minute int) release.Release {
	at := time.Date(2026, 1, 2, 3, minute, 0, 0, time.UTC)
	return release.Release{Commit: commit, CommittedAt: &at}
}

func TestOrderIsGitsWhereItsHistoryIsComplete(t *testing.T) {
	for _, c := range []struct {
		live, next string
		older      bool
		text       string
	}{
		{"d", "b", true, "an older commit than what serves, by git's history"},
		{"m", "x", true, "an older commit than what serves, by git's history"},
		{"b", "d", false, "a newer commit than what serves, by git's history"},
		{"y", "m", false, "a newer commit than what serves, by git's history"},
		{"d", "y", false, "a commit of another branch than what serves, by git's history"},
		{"d", "d", false, "the same commit as what serves"},
	} {
		// The times say the opposite: git's history is believed first.
		text, older := order(ancestry(t, history), committed(c.live, 10), committed(c.next, 5))
		require.Equal(t, c.older, older, "%+v", c)
		require.Equal(t, c.text, text)
	}
}

func TestOrderIsByCommitterTimeWhereGitsHistoryIsCutOff(t *testing.T) {
	for name, a := range map[string]Ancestry{
		"none":            {},
		"shallow":         ancestry(t, "shallow\n"+history),
		"live is unknown": ancestry(t, "b a\na\n"),
	} {
		t.Run(name, func(t *testing.T) {
			text, older := order(a, committed("d", 10), committed("b", 5))
			require.True(t, older)
			require.Equal(t, "an older commit than what serves, by committer time (2026-01-02T03:05:00Z, not after 2026-01-02T03:10:00Z)", text)
			_, older = order(a, committed("d", 5), committed("b", 10))
			require.False(t, older)
			_, older = order(a, committed("d", 5), committed("b", 5))
			require.False(t, older, "an equal time is not older")
		})
	}
}

func TestWithoutACommitThereIsNoOrder(t *testing.T) {
	for _, pair := range [][2]release.Release{{{}, committed("a", 1)}, {committed("a", 1), {}}, {{Commit: "a"}, {Commit: "b"}}} {
		text, older := order(Ancestry{}, pair[0], pair[1])
		require.Empty(t, text)
		require.False(t, older)
	}
}

package plan

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"cutover.dev/ci/release"
)

// Ancestry is what the caller's git knows of the history: each commit with its
// parents.
type Ancestry struct {
	parents map[string][]string
	shallow bool
}

// ReadAncestry reads the output of `git rev-list --parents`: a commit and its
// parents on each line. A first line "shallow" says that the history is cut off.
func ReadAncestry(r io.Reader) (Ancestry, error) {
	a := Ancestry{parents: map[string][]string{}}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		switch fields := strings.Fields(lines.Text()); {
		case len(fields) == 1 && fields[0] == "shallow":
			a.shallow = true
		case len(fields) > 0:
			a.parents[fields[0]] = fields[1:]
		}
	}
	return a, lines.Err()
}

// knows reports whether the question for an order of the two can be answered.
func (a Ancestry) knows(one, other string) bool {
	_, first := a.parents[one]
	_, second := a.parents[other]
	return first && second && !a.shallow
}

// contains reports whether commit is an ancestor of descendant.
func (a Ancestry) contains(descendant, commit string) bool {
	seen := map[string]bool{}
	for next := a.parents[descendant]; len(next) > 0; {
		var parents []string
		for _, c := range next {
			if c == commit {
				return true
			}
			if !seen[c] {
				seen[c] = true
				parents = append(parents, a.parents[c]...)
			}
		}
		next = parents
	}
	return false
}

// order compares the candidate's commit with that of the release that serves.
// It returns how they stand to each other and by which evidence, empty when
// nothing is known, and whether the candidate is the older one. An equal commit
// is not older, and neither of two branches that went apart is.
func order(a Ancestry, live, next release.Release) (text string, older bool) {
	switch {
	case live.Commit == "" || next.Commit == "":
		return "", false
	case live.Commit == next.Commit:
		return "the same commit as what serves", false
	case a.knows(live.Commit, next.Commit):
		switch {
		case a.contains(live.Commit, next.Commit):
			return "an older commit than what serves, by git's history", true
		case a.contains(next.Commit, live.Commit):
			return "a newer commit than what serves, by git's history", false
		default:
			return "a commit of another branch than what serves, by git's history", false
		}
	case live.CommittedAt == nil || next.CommittedAt == nil:
		return "", false
	case next.CommittedAt.Before(*live.CommittedAt):
		return fmt.Sprintf("an older commit than what serves, by committer time (%s, not after %s)", stamp(next.CommittedAt), stamp(live.CommittedAt)), true
	default:
		return fmt.Sprintf("a newer commit than what serves, by committer time (%s, after %s)", stamp(next.CommittedAt), stamp(live.CommittedAt)), false
	}
}

func stamp(t *time.Time) string { return t.UTC().Format(time.RFC3339) }

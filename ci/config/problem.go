package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong in a file, and where.
type Problem struct {
	// File is the path from the repository's root.
	File string
	// Line and Column count from 1, columns in characters.
	Line, Column int
	// Message is one sentence without a closing period.
	Message string
	// Source is the line itself.
	Source string
}

// String returns the problem over three lines: place and message, the source
// line, and a caret under the column.
func (p Problem) String() string {
	number := fmt.Sprintf("%5d", p.Line)
	return fmt.Sprintf("%s:%d:%d: %s\n%s\n%s", p.File, p.Line, p.Column, p.Message,
		strings.TrimRight(number+" | "+p.Source, " "),
		strings.Repeat(" ", len(number))+" | "+p.indent()+"^")
}

// indent returns what stands before the caret: blanks, but the tabs of the source
// line, since nobody knows how wide those are shown.
func (p Problem) indent() string {
	source := []rune(p.Source)
	indent := make([]rune, p.Column-1)
	for i := range indent {
		indent[i] = ' '
		if i < len(source) && source[i] == '\t' {
			indent[i] = '\t'
		}
	}
	return string(indent)
}

// Problems is all that is wrong in a file, in the order of its lines.
type Problems []Problem

// Error returns every problem with its place and its line.
func (p Problems) Error() string {
	var texts []string
	for _, problem := range p {
		texts = append(texts, problem.String())
	}
	return strings.Join(texts, "\n")
}

func (p Problems) sort() {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

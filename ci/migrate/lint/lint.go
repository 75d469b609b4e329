// Package lint reads migrations before anything is touched, on PostgreSQL's own
// grammar, and says what would break the version that serves, hold up its users, or
// be lost.
package lint

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	pgquery "github.com/wasilibs/go-pgquery"

	"cutover.dev/ci/migrate"
)

// Severity says whether a finding stops a deploy.
type Severity string

// The two severities.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Finding is one thing that a migration should not do.
type Finding struct {
	// File is the path from the repository's root; Line and Column count from 1.
	File     string   `json:"file"`
	Line     int      `json:"line"`
	Column   int      `json:"column"`
	Rule     string   `json:"rule"`
	Class    Class    `json:"class"`
	Severity Severity `json:"severity"`
	// What the statement does, Why that is a danger, and what to do Instead.
	What    string `json:"what"`
	Why     string `json:"why"`
	Instead string `json:"instead"`
}

// String returns the finding over two lines.
func (f Finding) String() string {
	return fmt.Sprintf("%s:%d:%d: %s (%s, %s): %s: %s\n  instead: %s", f.File, f.Line, f.Column, f.Severity, f.Class, f.Rule, f.What, f.Why, f.Instead)
}

// Errors counts those that stop a deploy.
func Errors(found []Finding) (n int) {
	for _, f := range found {
		if f.Severity == Error {
			n++
		}
	}
	return n
}

// Check reads those of the files that are named, as one batch: what one of them
// makes, no user knows yet. With nil for the names it reads all of them, each as a
// batch of its own, since nobody says which of them have run. dir is the folder's name in the
// findings, which come in the order of the files. The error is that a file cannot
// be read; what cannot be parsed is a finding.
func Check(files fs.FS, dir string, parsed []migrate.File, names []string) ([]Finding, error) {
	b := &batch{made: map[string]bool{}}
	for _, f := range parsed {
		if names != nil && !slices.Contains(names, f.Name) {
			continue
		}
		text, err := fs.ReadFile(files, f.Name)
		if err != nil {
			return nil, err
		}
		if names == nil {
			b.made = map[string]bool{}
		}
		b.file(f, path.Join(dir, f.Name), string(text))
	}
	return b.findings, nil
}

// batch is what runs together.
type batch struct {
	// made are the tables that the batch makes.
	made     map[string]bool
	findings []Finding
}

// reading is one file that is read.
type reading struct {
	*batch
	migrate.File
	path   string
	sql    string // the Up section, at the places where it stands in the file
	allows []*allow

	// offset is where the present statement begins.
	offset int
	// unvalidated are the constraints that the file adds NOT VALID, locked the tables
	// on which it takes a strong lock, changed whether it took one.
	unvalidated map[string]bool
	locked      []string
	filled      bool
}

func (b *batch) file(f migrate.File, path, text string) {
	r := &reading{batch: b, File: f, path: path, sql: upSection(text), unvalidated: map[string]bool{}}
	r.allows = r.readAllows(text)
	tree, err := pgquery.Parse(r.sql)
	if err != nil {
		r.broken(err)
		return
	}
	first := len(b.findings)
	for _, raw := range tree.Stmts {
		r.offset = begin(r.sql, int(raw.StmtLocation))
		r.statement(raw.Stmt)
	}
	r.together()
	r.unusedAllows()
	slices.SortStableFunc(b.findings[first:], func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// Statement is one statement of a file's Up section.
type Statement struct {
	SQL  string
	Line int
}

// Statements splits the Up section of a file's text as PostgreSQL does.
func Statements(text string) ([]Statement, error) {
	up := upSection(text)
	tree, err := pgquery.Parse(up)
	if err != nil {
		return nil, err
	}
	var out []Statement
	for _, raw := range tree.Stmts {
		end := len(up)
		if raw.StmtLen > 0 {
			end = int(raw.StmtLocation + raw.StmtLen)
		}
		from := begin(up, int(raw.StmtLocation))
		line, _ := place(up, from)
		out = append(out, Statement{SQL: up[from:end], Line: line})
	}
	return out, nil
}

// broken reports what PostgreSQL's grammar does not know.
func (r *reading) broken(err error) {
	f := Finding{File: r.path, Line: 1, Column: 1, Rule: "syntax", Class: Transaction, Severity: Error,
		What: "this is no SQL of PostgreSQL", Why: err.Error(), Instead: "correct it: what cannot be read is not let through"}
	if at, ok := position(err); ok {
		f.Line, f.Column = place(r.sql, at)
	}
	r.findings = append(r.findings, f)
}

// hit reports that the present statement breaks a rule, unless it is allowed.
func (r *reading) hit(rule, what string, args ...any) {
	known := Rules[rule]
	f := Finding{File: r.path, Rule: rule, Class: known.Class, Severity: Error, What: fmt.Sprintf(what, args...), Why: known.Why, Instead: known.Instead}
	switch {
	case known.gate == inExpand && r.Phase == migrate.Contract:
		return
	case known.gate == warn:
		f.Severity = Warning
	}
	f.Line, f.Column = place(r.sql, r.offset)
	if !r.allowed(rule, f.Line) {
		r.findings = append(r.findings, f)
	}
}

// begin returns where in the text a statement's first word stands, behind blanks and comments.
func begin(sql string, at int) int {
	for at < len(sql) {
		switch rest := sql[at:]; {
		case strings.HasPrefix(rest, "--"):
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				return at
			}
			at += end
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest, "*/")
			if end < 0 {
				return at
			}
			at += end + 2
		case strings.ContainsRune(" \t\r\n;", rune(rest[0])):
			at++
		default:
			return at
		}
	}
	return at
}

// place turns an offset into a line and a column, in characters.
func place(text string, offset int) (line, column int) {
	before := text[:min(offset, len(text))]
	last := strings.LastIndexByte(before, '\n')
	return strings.Count(before, "\n") + 1, len([]rune(before[last+1:])) + 1
}

// upSection returns the Up section with everything else blank, so that every place
// in it is the file's.
func upSection(text string) string {
	var b strings.Builder
	in := false
	for line := range strings.Lines(text) {
		word := strings.ToUpper(strings.Join(strings.Fields(line), " "))
		switch {
		case strings.HasPrefix(word, "-- +GOOSE UP"):
			in = true
		case strings.HasPrefix(word, "-- +GOOSE DOWN"):
			in = false
		}
		if in {
			b.WriteString(line)
		} else {
			b.WriteString("\n")
		}
	}
	return b.String()
}

// relation is a table's name as it is written.
func relation(v *pg.RangeVar) string {
	if v == nil {
		return ""
	}
	if v.Schemaname != "" {
		return v.Schemaname + "." + v.Relname
	}
	return v.Relname
}

package migrate

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"cutover.dev/ci/config"
)

// Phase says when a migration may run.
type Phase string

// The two phases of a change that two versions of the application live through.
const (
	// Expand adds what a new version needs and leaves what the version that serves
	// uses. A deploy applies these, before the new version starts.
	Expand Phase = "expand"
	// Contract takes away what only older versions used. It is applied by a command
	// of its own, once no older version is left to come back.
	Contract Phase = "contract"
)

// File is one of goose's SQL files, with what its comments say to cutover.
type File struct {
	Version int64
	Name    string
	Phase   Phase
	// LockTimeout is how long a statement may wait for a lock; 0: the default.
	LockTimeout time.Duration
	// Irreversible says that the file has no way back, on purpose.
	Irreversible bool
	// NoTransaction: the file's one statement runs without a transaction.
	NoTransaction bool
	// Index is the index that the file makes concurrently, as written; empty if it
	// makes none.
	Index string
	// Concurrently says that the one statement waits for others without making
	// anybody wait.
	Concurrently bool
	// Tables are those that the file changes, as written, as far as its text tells.
	Tables []string
	// Hash is that of the Up section's SQL. Comments and blanks at the end of a line
	// are not in it, so that correcting a word does not look like another change.
	Hash string
}

// Parse returns the migrations among files, in the order of their versions. dir
// is the folder as it is to be named in messages. The error is a config.Problems
// with everything that is wrong.
func Parse(files fs.FS, dir string) ([]File, error) {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, err
	}
	var out []File
	var problems config.Problems
	for _, e := range entries {
		if e.IsDir() || path.Ext(e.Name()) != ".sql" && path.Ext(e.Name()) != ".go" {
			continue
		}
		text, err := fs.ReadFile(files, e.Name())
		if err != nil {
			return nil, err
		}
		p := &parser{file: File{Name: e.Name(), Phase: Expand}, path: path.Join(dir, e.Name())}
		p.parse(string(text))
		problems = append(problems, p.problems...)
		out = append(out, p.file)
	}
	slices.SortStableFunc(out, func(a, b File) int { return cmp.Compare(a.Version, b.Version) })
	for i := 1; i < len(out); i++ {
		if out[i].Version == out[i-1].Version && out[i].Version > 0 {
			problems = append(problems, config.Problem{File: path.Join(dir, out[i].Name), Line: 1, Column: 1,
				Message: fmt.Sprintf("its version %d is also that of %s", out[i].Version, out[i-1].Name)})
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return out, nil
}

// section is a part of goose's file.
type section int

const (
	head section = iota
	up
	down
)

// parser reads one file, line by line.
type parser struct {
	file     File
	path     string
	problems config.Problems

	line    int
	source  string
	section section
	// block is the line of an open StatementBegin.
	block int
	// open says that a statement has begun and not ended.
	open       bool
	statements map[section]int
	sql        map[section][]string
}

// maxDigits is the length of a version that is a time, 20261125093000: with more
// digits a slip of the hand would stand before every later file for ever.
const maxDigits = 14

var fileName = regexp.MustCompile(`^(\d+)_[^/]+\.sql$`)

func (p *parser) parse(text string) {
	p.statements, p.sql = map[section]int{}, map[section][]string{}
	p.name()
	text = strings.ReplaceAll(text, "\r\n", "\n")
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		p.line, p.source = p.line+1, line
		p.read(line)
	}
	p.judge()
	body := strings.Join(p.sql[up], "\n")
	sum := sha256.Sum256([]byte(body))
	p.file.Hash = hex.EncodeToString(sum[:])
	p.file.Tables = tables(body)
	if p.file.NoTransaction {
		p.file.Concurrently = concurrently.MatchString(body)
		if made := concurrentIndex.FindStringSubmatch(body); made != nil {
			p.file.Index = made[1]
		}
	}
}

func (p *parser) name() {
	p.line = 1
	defer func() { p.line = 0 }()
	match := fileName.FindStringSubmatch(p.file.Name)
	switch {
	case path.Ext(p.file.Name) == ".go":
		p.problem(1, "a migration in Go cannot be applied: only SQL files are")
	case match == nil:
		p.problem(1, "goose would skip this file without a word: want VERSION_NAME.sql")
	case len(match[1]) > maxDigits:
		p.problem(1, "its version has %d digits; at most %d are wanted, as in a time", len(match[1]), maxDigits)
	default:
		p.file.Version, _ = strconv.ParseInt(match[1], 10, 64)
		if p.file.Version == 0 {
			p.problem(1, "its version is 0, which goose keeps for itself: want 1 or more")
		}
	}
}

var (
	gooseLine  = regexp.MustCompile(`^--\s*\+goose\s+(.*?)\s*$`)
	deployLine = regexp.MustCompile(`^--\s*deploy:(.*?)\s*$`)
)

// read takes in one line.
func (p *parser) read(line string) {
	if m := gooseLine.FindStringSubmatch(line); m != nil {
		p.annotation(strings.ToUpper(m[1]))
		return
	}
	if m := deployLine.FindStringSubmatchIndex(line); m != nil {
		p.directive(line[m[2]:m[3]], len([]rune(line[:m[2]]))+1)
		return
	}
	text := strings.TrimSpace(line)
	if strings.HasPrefix(text, "--") || text == "" {
		return
	}
	if p.section == head {
		return // goose passes over it as well
	}
	p.sql[p.section] = append(p.sql[p.section], strings.TrimRight(line, " \t"))
	if p.block == 0 {
		p.statement(text)
	}
}

// statement counts statements as goose does: one ends with the line that ends
// with a semicolon.
func (p *parser) statement(text string) {
	if !p.open {
		p.statements[p.section]++
	}
	text, _, _ = strings.Cut(text, "--")
	p.open = !strings.HasSuffix(strings.TrimSpace(text), ";")
}

func (p *parser) annotation(name string) {
	switch name {
	case "UP":
		p.begin(up)
	case "DOWN":
		p.begin(down)
	case "NO TRANSACTION":
		p.file.NoTransaction = true
	case "STATEMENTBEGIN":
		p.block = p.line
		p.statements[p.section]++
	case "STATEMENTEND":
		p.block, p.open = 0, false
	}
}

func (p *parser) begin(s section) {
	if s <= p.section {
		p.problem(1, "this section begins twice, or after the one that follows it")
	}
	p.section, p.open = s, false
}

// directive takes in what a comment says to cutover.
func (p *parser) directive(text string, column int) {
	if word, _, _ := strings.Cut(text, " "); word == "allow" {
		return // it speaks of one statement, to the lint
	}
	if p.section != head {
		p.problem(1, "a deploy: comment belongs before `-- +goose Up`: it speaks of the whole file")
		return
	}
	key, value, _ := strings.Cut(text, "=")
	at := column + len([]rune(key)) + 1
	switch key {
	case "phase":
		p.file.Phase = Phase(value)
		if p.file.Phase != Expand && p.file.Phase != Contract {
			p.problem(at, "%q is not a phase; there are expand and contract", value)
		}
	case "lock-timeout":
		d, err := time.ParseDuration(value)
		if err != nil || d < time.Millisecond {
			p.problem(at, "%q is not a time such as 2s, of 1ms or more: without a limit every query on the table would wait behind this file", value)
		}
		p.file.LockTimeout = d
	case "irreversible":
		p.file.Irreversible = true
	default:
		p.problem(column, "there is no deploy:%s; there are deploy:phase, deploy:lock-timeout, deploy:irreversible and deploy:allow", key)
	}
}

// judge looks at the file as a whole.
func (p *parser) judge() {
	if p.block > 0 {
		p.line = p.block
		p.problem(1, "this statement has no `-- +goose StatementEnd`")
	}
	p.line, p.source = 1, ""
	switch {
	case path.Ext(p.file.Name) == ".go":
	case p.section == head:
		p.problem(1, "there is no `-- +goose Up`, so goose would apply nothing")
	case p.statements[up] == 0:
		p.problem(1, "its Up section holds no statement")
	case p.file.NoTransaction && p.statements[up] > 1:
		p.problem(1, "its Up section holds %d statements, but without a transaction a file holds one: after a crash nobody could tell which of them ran", p.statements[up])
	case p.statements[down] == 0 && !p.file.Irreversible:
		p.problem(1, "it has no way back: write its Down section, or say `-- deploy:irreversible`")
	}
}

func (p *parser) problem(column int, format string, args ...any) {
	p.problems = append(p.problems, config.Problem{File: p.path, Line: max(p.line, 1), Column: column,
		Message: fmt.Sprintf(format, args...), Source: p.source})
}

// name is an SQL name, with a schema or without.
const name = `((?:"[^"]+"|[\w$]+)(?:\.(?:"[^"]+"|[\w$]+))?)`

var (
	concurrently    = regexp.MustCompile(`(?i)\b(?:INDEX|REINDEX\s.*?|VIEW|PARTITION\s.*?)\s+CONCURRENTLY\b`)
	concurrentIndex = regexp.MustCompile(`(?is)\bCREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?` + name + `\s+ON\b`)
	touched         = []*regexp.Regexp{
		regexp.MustCompile(`(?is)\b(?:ALTER|DROP)\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?` + name),
		regexp.MustCompile(`(?is)\bINDEX\b[^;]*?\bON\s+(?:ONLY\s+)?` + name),
		regexp.MustCompile(`(?is)\b(?:UPDATE|INSERT\s+INTO|DELETE\s+FROM|REFERENCES|TRUNCATE(?:\s+TABLE)?)\s+(?:ONLY\s+)?` + name),
		regexp.MustCompile(`(?is)\bTRIGGER\b[^;]*?\bON\s+` + name),
	}
)

// tables finds the tables that SQL text changes. It is a help for whoever waits
// for a lock, not a judgement: what it does not find is not looked at.
func tables(sql string) []string {
	var out []string
	for _, pattern := range touched {
		for _, m := range pattern.FindAllStringSubmatch(sql, -1) {
			if !slices.Contains(out, m[1]) {
				out = append(out, m[1])
			}
		}
	}
	return out
}

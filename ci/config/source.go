package config

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// source is a file while it is read: its lines, where each key and value stands,
// and what was found to be wrong. A path such as image.build.context or
// secrets.required[0] names a value; the empty path is the whole file.
type source struct {
	name     string
	lines    []string
	keys     map[string]place
	values   map[string]place
	problems Problems
	faults   []string // the paths about which something was said
}

// place is a line and a column, both from 1.
type place struct{ line, column int }

func newSource(name, text string) *source {
	return &source{
		name:   name,
		lines:  strings.Split(text, "\n"),
		keys:   map[string]place{},
		values: map[string]place{},
	}
}

func placeOf(tk *token.Token) place {
	if tk == nil || tk.Position == nil {
		return place{1, 1}
	}
	return place{tk.Position.Line, tk.Position.Column}
}

func placeOfNode(n ast.Node) place {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return placeOf(m.Values[0].Key.GetToken()) // the mapping's own token is the first colon
	}
	return placeOf(n.GetToken())
}

// add notes a problem at a place, moved into the file if a parser points past it.
func (s *source) add(at place, format string, args ...any) {
	at.line = min(max(at.line, 1), len(s.lines))
	line := s.lines[at.line-1]
	at.column = min(max(at.column, 1), len([]rune(line))+1)
	message := printable(fmt.Sprintf(format, args...))
	s.problems = append(s.problems, Problem{s.name, at.line, at.column, message, printable(line)})
}

// printable returns text without what would move a terminal's cursor.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\t' {
			return utf8.RuneError
		}
		return r
	}, text)
}

// reject notes a problem with the value at path.
func (s *source) reject(path, format string, args ...any) {
	at, ok := s.values[path]
	if !ok {
		at = s.keyPlace(path)
	}
	s.rejectAt(at, path, format, args...)
}

func (s *source) rejectAt(at place, path, format string, args ...any) {
	s.faults = append(s.faults, path)
	message := fmt.Sprintf(format, args...)
	if path != "" {
		message = path + ": " + message
	}
	s.add(at, "%s", message)
}

// keyPlace returns where the key at path stands; if the file does not have it,
// where the nearest map around it does.
func (s *source) keyPlace(path string) place {
	for ; path != ""; path = parent(path) {
		if at, ok := s.keys[path]; ok {
			return at
		}
	}
	return place{1, 1}
}

// given says whether the file has the key.
func (s *source) given(path string) bool {
	_, ok := s.keys[path]
	return ok
}

// faulty says whether something was said about the value at path, about one
// inside it, or about one around it. Then it means nothing, and nothing more is
// said about it.
func (s *source) faulty(path string) bool {
	for _, fault := range s.faults {
		if within(fault, path) || within(path, fault) {
			return true
		}
	}
	return false
}

// within says whether path is outer or inside it.
func within(path, outer string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && (rest == "" || outer == "" || rest[0] == '.' || rest[0] == '[')
}

func parent(path string) string { return path[:max(strings.LastIndexAny(path, ".["), 0)] }

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func element(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

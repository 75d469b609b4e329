package config

import (
	"cmp"
	"errors"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// parse reads one file: the text into a tree, the tree into an Env over the
// defaults, and then the rules that types cannot express.
func parse(file string, text []byte) (*Env, Problems) {
	// Files from Windows: goccy takes the byte order mark for a part of the first
	// key and miscounts the lines behind a block of text.
	content := strings.TrimPrefix(string(text), "\ufeff")
	content = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(content)
	s, env := newSource(file, content), defaults()
	if body, ok := s.tree(content); ok {
		s.decode(body, reflect.ValueOf(env).Elem(), "")
		s.dropOmitted(reflect.ValueOf(env).Elem(), "")
		env.derive(s.given)
		s.check(env)
	}
	s.problems.sort()
	return env, s.problems
}

// tree returns the root of the file's only document. Text that is no YAML at all
// is one problem: what follows it cannot be trusted.
func (s *source) tree(text string) (body ast.Node, ok bool) {
	if i := invalidUTF8(text); i >= 0 {
		s.add(endOf(text[:i]), "the file is not text in UTF-8")
		return nil, false
	}
	// Duplicate keys are found by the reader, which can name both places.
	tree, err := parser.ParseBytes([]byte(text), 0, parser.AllowDuplicateMapKey())
	if err != nil {
		s.syntax(err)
		return nil, false
	}
	for _, doc := range tree.Docs {
		if directive, ok := doc.Body.(*ast.DirectiveNode); ok {
			s.add(placeOf(directive.GetToken()), "directives (%%) are not supported; remove the line")
			return nil, false
		}
		if body != nil && doc.Body != nil {
			s.add(placeOf(doc.Start), "a second document starts here; a file describes one environment")
			return nil, false
		}
		body = cmp.Or(body, doc.Body)
	}
	if body == nil { // an empty file lacks keys, like any other
		body = ast.Mapping(token.MappingStart("{", &token.Position{Line: 1, Column: 1}), true)
	}
	return body, true
}

func (s *source) syntax(err error) {
	at, message := place{1, 1}, err.Error()
	var bad yaml.Error
	if errors.As(err, &bad) {
		at, message = placeOf(bad.GetToken()), bad.GetMessage()
	}
	s.add(at, "this is not YAML: %s", strings.ReplaceAll(message, "\t", `\t`))
}

// invalidUTF8 returns the index of the first byte that is not UTF-8, or -1.
func invalidUTF8(text string) int {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// endOf returns the place behind a text.
func endOf(text string) place {
	last := text[strings.LastIndex(text, "\n")+1:]
	return place{strings.Count(text, "\n") + 1, utf8.RuneCountInString(last) + 1}
}

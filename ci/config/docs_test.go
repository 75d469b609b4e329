package config

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// root is this repository, with the environments of the example application.
var root = os.DirFS("../..")

func TestTheExampleEnvironmentsAreRight(t *testing.T) {
	names, err := Names(root)
	require.NoError(t, err)
	require.Equal(t, []string{"dev", "prod", "staging"}, names)
	for _, name := range names {
		env, err := Load(root, name)
		require.NoError(t, err)
		require.Equal(t, "notes", env.App)
		require.Equal(t, "notes-"+name, env.Namespace)
	}
}

// TestDevShowsEveryKeyThereIs reads the keys that are behind a # as well.
func TestDevShowsEveryKeyThereIs(t *testing.T) {
	text, err := os.ReadFile("../../envs/dev.yaml")
	require.NoError(t, err)
	whole := regexp.MustCompile(`(?m)^( *)# ((?:  )*)(\w+: )`).ReplaceAllString(string(text), "$1$2$3")
	load(t, strings.NewReplacer("  package: ./smoke", "  # package", // it or image, never both
		"  for: 0s", "  for: 10s").Replace(whole)) // in no time nothing can be measured

	s := newSource("dev.yaml", whole)
	body, ok := s.tree(whole)
	require.True(t, ok)
	s.decode(body, reflect.ValueOf(defaults()).Elem(), "")
	for _, path := range paths(reflect.TypeFor[Env](), "") {
		require.Contains(t, s.keys, path)
	}
}

// TestTheDefaultsAreTheDocumentedOnes compares the sentences "Default X." of
// env.go with what is filled in.
func TestTheDefaultsAreTheDocumentedOnes(t *testing.T) {
	documented := documentedDefaults(t)
	for _, path := range paths(reflect.TypeFor[Env](), "") {
		value := reflect.ValueOf(defaults()).Elem()
		for _, key := range strings.Split(path, ".") {
			i, _ := keysOf(reflect.Indirect(value).Type()).index(key)
			value = reflect.Indirect(value).Field(i)
		}
		switch reflect.Indirect(value).Kind() {
		case reflect.Struct, reflect.Map, reflect.Slice:
			continue
		}
		want := documented[path]
		if value.IsZero() {
			require.Empty(t, want, path)
		} else {
			require.Equal(t, want, shown(value), path)
		}
		delete(documented, path)
	}
	require.Empty(t, documented)
}

func shown(v reflect.Value) string {
	if d, ok := v.Interface().(time.Duration); ok {
		return short(d)
	}
	return fmt.Sprint(v.Interface())
}

// documentedDefaults returns the defaults of env.go's comments by path. Defaults
// in words ("Default: none") and derived ones are left out.
func documentedDefaults(t *testing.T) map[string]string {
	file, err := parser.ParseFile(token.NewFileSet(), "env.go", nil, parser.ParseComments)
	require.NoError(t, err)
	sentence := regexp.MustCompile(`Default "?([^\s":A-Z][^\s"A-Z]*?)"?\.(\s|$)|Only "(\w+)" is supported, which is the\s+default`)

	found := map[string]string{} // by type and field
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		for _, field := range spec.Type.(*ast.StructType).Fields.List {
			if m := sentence.FindStringSubmatch(field.Doc.Text()); m != nil {
				found[spec.Name.Name+"."+field.Names[0].Name] = m[1] + m[3]
			}
		}
		return false
	})
	return byPath(reflect.TypeFor[Env](), "", found)
}

// byPath gives the values found for Go fields the paths of their keys.
func byPath(t reflect.Type, prefix string, found map[string]string) map[string]string {
	values := map[string]string{}
	for i, key := range keysOf(t) {
		field, path := t.Field(i), join(prefix, key)
		if value, ok := found[t.Name()+"."+field.Name]; ok {
			values[path] = value
		}
		inner := field.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct {
			for path, value := range byPath(inner, path, found) {
				values[path] = value
			}
		}
	}
	return values
}

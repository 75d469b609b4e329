package config

import (
	"fmt"
	"iter"
	"reflect"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// decode sets v from the node at path and notes all that does not fit. The walk
// is our own because goccy's strict decoding stops at the first problem.
func (s *source) decode(n ast.Node, v reflect.Value, path string) {
	if n = s.bare(n, path); n == nil {
		return
	}
	s.values[path] = placeOfNode(n)
	if d, ok := v.Addr().Interface().(*time.Duration); ok {
		s.decodeDuration(n, d, path)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() { // it has no default
			v.Set(reflect.New(v.Type().Elem()))
		}
		s.decode(n, v.Elem(), path)
	case reflect.Struct:
		s.decodeStruct(n, v, path)
	case reflect.Map:
		s.decodeMap(n, v, path)
	case reflect.Slice:
		s.decodeSlice(n, v, path)
	case reflect.String:
		s.decodeString(n, v, path)
	case reflect.Int:
		s.decodeInt(n, v, path)
	case reflect.Float64:
		s.decodeFloat(n, v, path)
	case reflect.Bool:
		s.decodeBool(n, v, path)
	default:
		panic(fmt.Sprintf("config: nobody has taught the reader about %s (%s)", v.Type(), path))
	}
}

// bare returns the node that holds a value, or nil if there is none. Files are
// short and read by people: a value stands where it is used, as what it is.
func (s *source) bare(n ast.Node, path string) ast.Node {
	at := placeOf(n.GetToken())
	switch n := n.(type) {
	case *ast.NullNode:
		s.rejectAt(at, path, "has no value; give it one or remove the key")
		return nil
	case *ast.AliasNode:
		s.rejectAt(at, path, "aliases (*name) are not supported; write the value itself")
		return nil
	case *ast.AnchorNode:
		s.rejectAt(at, path, "anchors (&name) are not supported; write the value where it is used")
		return s.bare(n.Value, path)
	case *ast.TagNode:
		s.rejectAt(at, path, "tags (!name) are not supported; write the value alone")
		return s.bare(n.Value, path)
	}
	return n
}

// decodeStruct sets the fields of v. Keys that the file leaves out keep what v
// holds, the default.
func (s *source) decodeStruct(n ast.Node, v reflect.Value, path string) {
	names := keysOf(v.Type())
	for key, value := range s.entries(n, path) {
		if i, known := names.index(key); known {
			s.decode(value, v.Field(i), join(path, key))
		} else {
			s.unknownKey(key, path, names)
		}
	}
}

// dropOmitted makes every pointer nil whose key the file leaves out.
func (s *source) dropOmitted(v reflect.Value, path string) {
	for i, name := range keysOf(v.Type()) {
		field, at := v.Field(i), join(path, name)
		if field.Kind() == reflect.Pointer {
			if !s.given(at) {
				field.SetZero()
				continue
			}
			field = field.Elem()
		}
		if field.Kind() == reflect.Struct {
			s.dropOmitted(field, at)
		}
	}
}

func (s *source) decodeMap(n ast.Node, v reflect.Value, path string) {
	for key, value := range s.entries(n, path) {
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
		item := reflect.New(v.Type().Elem()).Elem()
		s.decode(value, item, join(path, key))
		v.SetMapIndex(reflect.ValueOf(key), item)
	}
}

func (s *source) decodeSlice(n ast.Node, v reflect.Value, path string) {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		s.mismatch(n, path, "a list, such as [a, b]")
		return
	}
	for i, value := range list.Values {
		item := reflect.New(v.Type().Elem()).Elem()
		s.decode(value, item, element(path, i))
		v.Set(reflect.Append(v, item))
	}
}

// entries yields the keys and values of a map, each key once.
func (s *source) entries(n ast.Node, path string) iter.Seq2[string, ast.Node] {
	return func(yield func(string, ast.Node) bool) {
		mapping, ok := n.(ast.MapNode)
		if !ok {
			s.mismatch(n, path, "a map of keys and values")
			return
		}
		first := map[string]place{}
		for entry := mapping.MapRange(); entry.Next(); {
			key, at, ok := s.key(entry.Key())
			if !ok {
				continue
			}
			if before, again := first[key]; again {
				s.add(at, "duplicate key %q; it stands in line %d already", join(path, key), before.line)
				continue
			}
			first[key], s.keys[join(path, key)] = at, at
			if !yield(key, entry.Value()) {
				return
			}
		}
	}
}

// key returns the text of a key and where it stands.
func (s *source) key(n ast.MapKeyNode) (text string, at place, ok bool) {
	tk := n.GetToken()
	at = placeOf(tk)
	if n.IsMergeKey() {
		s.add(at, "merge keys (<<) are not supported; write the keys themselves")
		return "", at, false
	}
	if _, ok = n.(*ast.StringNode); !ok {
		s.add(at, "%s is not a key; a key is plain text", strings.TrimSpace(tk.Value))
	}
	return tk.Value, at, ok
}

package config

import (
	"reflect"
	"slices"
	"strings"
)

// keys are the YAML names of a struct's fields, in their order; "-" is none.
type keys []string

func keysOf(t reflect.Type) keys {
	names := make(keys, t.NumField())
	for i := range names {
		names[i], _, _ = strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
	}
	return names
}

func (k keys) index(name string) (int, bool) {
	i := slices.Index(k, name)
	return i, i >= 0 && name != "-"
}

// names returns the keys that a file can have.
func (k keys) names() []string {
	return slices.DeleteFunc(slices.Clone(k), func(name string) bool { return name == "-" })
}

// paths returns the path of every key that a file can have, from the outer ones
// to the inner ones, as image, image.repository and so on.
func paths(t reflect.Type, prefix string) []string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	var all []string
	for i, name := range keysOf(t) {
		if name != "-" {
			all = append(all, join(prefix, name))
			all = append(all, paths(t.Field(i).Type, join(prefix, name))...)
		}
	}
	return all
}

// unknownKey notes a key that the map at path does not have, and what its writer
// may have meant: a name that is spelt alike, or the place where it belongs.
func (s *source) unknownKey(key, path string, known keys) {
	hint, meant := "there are: "+strings.Join(known.names(), ", "), homeOf(key)
	if near := nearest(key, known.names()); near != "" {
		meant = join(path, near)
	}
	switch {
	case strings.Contains(key, "."):
		hint = "keys stand inside each other, they are not joined by dots"
	case meant != "":
		hint = "did you mean " + quote(meant) + "?"
		s.faults = append(s.faults, meant) // it is misspelt or misplaced, not missing
	}
	full := join(path, key)
	s.add(s.keyPlace(full), "unknown key %q; %s", full, hint)
}

// homeOf returns the path of the only key with that name, if there is just one.
func homeOf(key string) string {
	var homes []string
	for _, path := range paths(reflect.TypeFor[Env](), "") {
		if strings.HasSuffix("."+path, "."+key) {
			homes = append(homes, path)
		}
	}
	if len(homes) != 1 {
		return ""
	}
	return homes[0]
}

// nearest returns the candidate that looks most like name, or "" if none is close
// enough to be a slip. Case, dashes and underscores do not count.
func nearest(name string, candidates []string) string {
	best, least := "", 1+max(1, len(name)/3)
	for _, candidate := range candidates {
		if d := distance(fold(name), fold(candidate)); d < least {
			best, least = candidate, d
		}
	}
	return best
}

func fold(name string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(name))
}

// distance is the number of letters to insert, remove or replace (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(row[j]+1, row[j+1]+1, cost)
		}
	}
	return row[len(b)]
}

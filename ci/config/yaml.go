package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

// YAML returns the environment as a file that Load reads as the same Env, with
// every default written out.
func (e *Env) YAML() []byte { return []byte(fields(reflect.ValueOf(e).Elem(), "")) }

// fields returns a struct's lines.
func fields(v reflect.Value, indent string) string {
	var lines strings.Builder
	for i, key := range keysOf(v.Type()) {
		_, options, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		if value := v.Field(i); key != "-" && (options != "omitempty" || !value.IsZero()) {
			lines.WriteString(entry(key, value, indent))
		}
	}
	return lines.String()
}

// entry returns the lines of a key and its value: none for a map or a struct that
// has nothing inside.
func entry(key string, v reflect.Value, indent string) string {
	inner := ""
	switch v.Kind() {
	case reflect.Pointer:
		return entry(key, v.Elem(), indent)
	case reflect.Struct:
		inner = fields(v, indent+"  ")
	case reflect.Map:
		inner = pairs(v, indent+"  ")
	default:
		return fmt.Sprintf("%s%s: %s\n", indent, key, inline(v))
	}
	if inner == "" {
		return ""
	}
	return fmt.Sprintf("%s%s:\n%s", indent, key, inner)
}

// pairs returns a map's lines in the order of its keys.
func pairs(v reflect.Value, indent string) string {
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	var lines strings.Builder
	for _, key := range keys {
		lines.WriteString(entry(text(key.String()), v.MapIndex(key), indent))
	}
	return lines.String()
}

// inline returns what stands behind a key on the same line.
func inline(v reflect.Value) string {
	switch value := v.Interface().(type) {
	case time.Duration:
		return short(value)
	case string:
		return text(value)
	case []string:
		items := make([]string, len(value))
		for i, item := range value {
			items[i] = text(item)
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	return fmt.Sprint(v.Interface())
}

// unquoted matches text that means itself in YAML, unless it is a number or the
// like. Digits do not begin it except in a quantity: 50m, 64Mi.
var unquoted = regexp.MustCompile(`^([A-Za-z/.][-A-Za-z0-9_./+:@]*[A-Za-z0-9_/.]|[A-Za-z/.]|[0-9]+[A-Za-z]{1,2})$`)

// text returns a string as YAML reads it back. Its double-quoted form is JSON's.
func text(value string) string {
	if unquoted.MatchString(value) && otherwise(value) == "" {
		return value
	}
	var quoted strings.Builder
	encoder := json.NewEncoder(&quoted)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic(err) // a string always has a JSON form
	}
	return strings.TrimSpace(quoted.String())
}

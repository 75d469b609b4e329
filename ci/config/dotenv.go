package config

import (
	"fmt"
	"os"
	"regexp"
	"strings"

	"cutover.dev/ci/outcome"
)

var dotenvName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Dotenv reads a file of NAME=value lines. Empty lines and those that begin with
// # are skipped; a value in single or double quotes is taken without them, and
// nothing in it is expanded. An empty path gives an empty map. Errors name file,
// line and column, never a value.
func Dotenv(path string) (map[string]string, error) {
	values := map[string]string{}
	if path == "" {
		return values, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, outcome.Refusef("dagger call … --secrets=file://prod.secrets.env", "the secrets cannot be read: %w", err)
	}
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		line = strings.TrimSpace(strings.TrimPrefix(line, "\ufeff"))
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, found := strings.Cut(line, "=")
		name = strings.TrimSpace(strings.TrimPrefix(name, "export "))
		if _, twice := values[name]; !found || !dotenvName.MatchString(name) || twice {
			what := "want NAME=value"
			if twice {
				what = name + " is there twice"
			}
			return nil, outcome.Refusef("correct line "+fmt.Sprint(number)+" of the file that --secrets names", "secrets:%d:1: %s", number, what)
		}
		values[name] = unquote(strings.TrimSpace(value))
	}
	return values, nil
}

func unquote(v string) string {
	if len(v) >= 2 && (v[0] == '"' || v[0] == '\'') && v[len(v)-1] == v[0] {
		return v[1 : len(v)-1]
	}
	return v
}

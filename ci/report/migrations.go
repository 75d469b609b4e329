package report

import (
	"encoding/json"
	"fmt"
	"strings"

	"cutover.dev/ci/migrate"
	"cutover.dev/ci/migrate/lint"
	"cutover.dev/ci/migrate/rehearse"
	"cutover.dev/ci/outcome"
)

// Lint returns what was found in so many files, in text or JSON.
func Lint(found []lint.Finding, files int, format string) (string, error) {
	switch format {
	case "text":
		var b strings.Builder
		for _, f := range found {
			fmt.Fprintln(&b, f)
		}
		errs := lint.Errors(found)
		fmt.Fprintf(&b, "%d files were read: %d errors, %d warnings\n", files, errs, len(found)-errs)
		return b.String(), nil
	case "json":
		if found == nil {
			found = []lint.Finding{} // a list, also when it is empty
		}
		data, err := json.MarshalIndent(found, "", "  ")
		return string(data) + "\n", err
	default:
		return "", noFormat(format)
	}
}

// Rehearsal returns what came of a rehearsal, in text or JSON.
func Rehearsal(played rehearse.Report, format string) (string, error) {
	switch format {
	case "text":
		return played.String(), nil
	case "json":
		data, err := json.MarshalIndent(played, "", "  ")
		return string(data) + "\n", err
	default:
		return "", noFormat(format)
	}
}

func noFormat(format string) error {
	return outcome.Refusef("the same command with --format=text", "there is no format %q for migrations: text or json", format)
}

// Migrations returns how a database stands to a release's migrations, in text or
// JSON.
func Migrations(s *migrate.State, format string) (string, error) {
	switch format {
	case "text":
		return migrationsText(s), nil
	case "json":
		data, err := json.MarshalIndent(s, "", "  ")
		return string(data) + "\n", err
	default:
		return "", noFormat(format)
	}
}

func migrationsText(s *migrate.State) string {
	var b strings.Builder
	fmt.Fprintf(&b, "schema is at %d\n", s.Version)
	for _, group := range []struct {
		title string
		files []string
	}{{"applied", s.Applied}, {"pending", s.Pending}, {"deferred", s.Deferred}} {
		for _, file := range group.files {
			fmt.Fprintf(&b, "  %-9s %s\n", group.title, file)
		}
	}
	for _, p := range s.Problems {
		fmt.Fprintf(&b, "  %-9s %s\n            next: %s\n", "drifted", strings.ReplaceAll(p.What, "\n", "\n          "), strings.ReplaceAll(p.Next, "\n", "\n                  "))
	}
	for _, n := range s.Notes {
		fmt.Fprintf(&b, "  %-9s %s\n", "note", strings.ReplaceAll(n, "\n", "\n          "))
	}
	return b.String()
}

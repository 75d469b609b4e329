// Package report turns a run's record into something to read.
package report

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"cutover.dev/ci/outcome"
	"cutover.dev/ci/probe"
	"cutover.dev/ci/release"
	"cutover.dev/ci/rollout"
)

// Text returns the run as a person reads it in a terminal.
func Text(rec *release.Record) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s %s to %s: %s\n", kind(rec), rec.Release.Env.App, rec.Release.Version, rec.Release.Env.Name, headline(rec))
	if rec.Outcome != release.Unchanged {
		for _, s := range rec.Steps {
			fmt.Fprintf(&b, "  %-12s %-9s %6s  %s\n", s.Name, s.State, seconds(s), indent(remark(s)))
		}
	}
	if rec.Probe != nil {
		fmt.Fprintf(&b, "  requests     %s\n", Requests(rec.Probe))
	}
	for _, m := range rec.Metrics {
		fmt.Fprintf(&b, "  metric       %s %s\n", m.Name, m)
	}
	if bad, had := rec.OnBad(); had {
		fmt.Fprintf(&b, "  on bad       version %s had users for %.1f s\n", rec.Release.Version, bad.Seconds())
	}
	if g := rec.Guard; g != nil {
		fmt.Fprintf(&b, "  guard        %s at %s: %s\n", g.State, g.At.UTC().Format(time.RFC3339), g.Evidence)
	}
	if rec.Schema > 0 {
		fmt.Fprintf(&b, "  schema       at %d%s\n", rec.Schema, stays(rec))
	}
	if rec.RestorePoint != "" {
		fmt.Fprintf(&b, "  restore      %s\n", rec.RestorePoint)
	}
	for _, flag := range slices.Sorted(maps.Keys(rec.Reasons)) {
		fmt.Fprintf(&b, "  reason       --%s: %s\n", flag, rec.Reasons[flag])
	}
	fmt.Fprintf(&b, "  serving      %s\n", Serving(rec))
	fmt.Fprintf(&b, "  run          %s, number %d%s", rec.Run, rec.Number, label(rec))
	if rec.Plan != "" {
		fmt.Fprintf(&b, ", plan %s", rec.Plan)
	}
	b.WriteString("\n")
	return b.String()
}

// kind says what was asked for, where it was not a deploy.
func kind(rec *release.Record) string {
	if rec.Kind == release.Rollback || rec.Kind == release.Contract {
		return string(rec.Kind) + ": "
	}
	return ""
}

// stays says that going back to an earlier release does not move the schema.
func stays(rec *release.Record) string {
	if rec.Kind == release.Rollback || rec.Outcome == release.RolledBack {
		return ", where it stays"
	}
	return ""
}

// Requests says in one line what the prober saw since the switch.
func Requests(t *probe.Tally) string {
	text := fmt.Sprintf("%d failed of %d since the switch, in %d watched seconds", t.Failed, t.OK+t.Failed, t.Watched)
	for _, k := range slices.Sorted(maps.Keys(t.Failures)) {
		text += fmt.Sprintf(", %d %s", t.Failures[k], k)
	}
	for _, class := range slices.Sorted(maps.Keys(t.Classes)) {
		text += fmt.Sprintf("; %s %d of %d", class, t.Classes[class].Failed, t.Classes[class].OK+t.Classes[class].Failed)
	}
	text += fmt.Sprintf("; worst second p50 %.0f ms, p99 %.0f ms", t.P50, t.P99)
	for _, v := range slices.Sorted(maps.Keys(t.Versions)) {
		text += fmt.Sprintf("; version %s %d", v, t.Versions[v])
	}
	return text
}

// Serving says in one line what serves, as far as the run knows; rec is nil when
// there never was one.
func Serving(rec *release.Record) string {
	if rec == nil || rec.ServingRelease() == nil {
		return "nothing"
	}
	live := rec.ServingRelease()
	return fmt.Sprintf("%s, version %s, on %s", live.ID, live.Version, rec.Serving)
}

// Run returns the run in a format: text, json (the record itself) or junit.
func Run(rec *release.Record, format string) (string, error) {
	switch format {
	case "text":
		return Text(rec), nil
	case "json":
		data, err := json.MarshalIndent(rec, "", "  ")
		return string(data) + "\n", err
	case "junit":
		data, err := JUnit(rec)
		return string(data), err
	default:
		return "", outcome.Refusef("the same command with --format=text", "there is no format %q for a run: text, json or junit", format)
	}
}

// Line returns an event as one line of progress.
func Line(e rollout.Event) string {
	if e.Step == "" {
		return e.Note
	}
	if e.Said != "" {
		return fmt.Sprintf("%-12s | %s", e.Step, e.Said)
	}
	text := fmt.Sprintf("%-12s %s", e.Step, e.State)
	if e.State == release.Done || e.State == release.Broken {
		text += fmt.Sprintf(" in %.1f s", e.Seconds)
	}
	if e.Note != "" && e.State != release.Started {
		text += ": " + e.Note
	}
	return text
}

func headline(rec *release.Record) string {
	took := ""
	if rec.Ended != nil {
		took = fmt.Sprintf(" in %.1f s", rec.Ended.Sub(rec.Started).Seconds())
	}
	switch rec.Outcome {
	case release.Unchanged:
		return "already live, nothing to do"
	case release.Succeeded:
		if !rec.Finished() {
			return "succeeded" + took + ", but the old colour could not be taken away"
		}
		return "succeeded" + took
	case release.Abandoned:
		return "given up" + took
	case release.RolledBack:
		return "rolled back" + took
	case release.Running:
		return "not finished, begun " + rec.Started.Format(time.RFC3339)
	default:
		return string(rec.Outcome) + took
	}
}

func seconds(s release.Step) string {
	if s.Started == nil || s.Ended == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f s", s.Seconds())
}

// indent keeps the further lines of a text, such as a pod's last words, below its
// first.
func indent(text string) string { return strings.ReplaceAll(text, "\n", "\n  ") }

func remark(s release.Step) string {
	if s.Error != "" {
		return s.Error
	}
	return s.Note
}

func label(rec *release.Record) string {
	if rec.Label == "" {
		return ""
	}
	return " (" + rec.Label + ")"
}

package report

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"cutover.dev/ci/release"
)

// History returns the runs, in text a line each or as JSON.
func History(runs []release.Summary, format string) (string, error) {
	if format == "json" {
		data, err := json.MarshalIndent(runs, "", "  ")
		return string(data) + "\n", err
	}
	if len(runs) == 0 {
		return "no run yet\n", nil
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NUMBER\tSTARTED\tKIND\tRELEASE\tVERSION\tOUTCOME\tSECONDS\tBY")
	for _, r := range runs {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%.1f\t%s\n", r.Number, r.Started.UTC().Format(time.RFC3339), r.Kind, r.Release, r.Version, r.Outcome, r.Seconds, r.By)
	}
	err := w.Flush()
	return b.String(), err
}

package report

import (
	"encoding/json"
	"fmt"
	"strings"

	"cutover.dev/ci/config"
	"cutover.dev/ci/plan"
	"cutover.dev/ci/release"
)

// Status returns how an application is, in text or JSON, or its last run as junit.
// holder is who works on
// it now, empty if nobody does.
func Status(env config.Env, seen plan.Observed, holder, format string) (string, error) {
	if format == "json" {
		data, err := json.MarshalIndent(map[string]any{
			"app": env.App, "env": env.Name, "namespace": env.Namespace, "holder": holder,
			"live": seen.Live(), "colour": seen.LiveColour(), "ready": seen.Ready, "size": seen.Size, "run": seen.Record,
		}, "", "  ")
		return string(data) + "\n", err
	}
	if format == "junit" && seen.Record != nil {
		return Run(seen.Record, format)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s in %s (namespace %s)\n", env.App, env.Name, env.Namespace)
	c := seen.LiveColour()
	switch live := seen.Live(); {
	case seen.Service == nil:
		b.WriteString("  serving   nothing\n")
	case c == release.None:
		fmt.Fprintf(&b, "  serving   not told: the Service selects %v\n", seen.Service)
	case live == nil || seen.Record.Serving != c:
		fmt.Fprintf(&b, "  serving   %s, which is not what the record says: %s\n", c, Serving(seen.Record))
	default:
		fmt.Fprintf(&b, "  serving   %s: %d of %d pods ready\n", Serving(seen.Record), seen.Ready[c], seen.Size[c])
	}
	if holder != "" {
		fmt.Fprintf(&b, "  at work   %s\n", holder)
	}
	if seen.Record == nil {
		b.WriteString("  last run  none\n")
		return b.String(), nil
	}
	b.WriteString("\nlast run: " + Text(seen.Record))
	if seen.Record.Error != "" {
		fmt.Fprintf(&b, "  error        %s\n", seen.Record.Error)
	}
	if seen.Unfinished() && holder == "" {
		fmt.Fprintf(&b, "  next         dagger call resume --env=%s   (goes on with it)\n", env.Name)
		fmt.Fprintf(&b, "               dagger call rollback --env=%s   (takes it back)\n", env.Name)
	}
	return b.String(), nil
}

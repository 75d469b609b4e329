package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"cutover.dev/ci/release"
)

// findings returns everything that speaks against going on, all at once. size is
// that of the new colour.
func findings(in Input, seen Observed, size int) []Finding {
	var out []Finding
	add := func(next, format string, args ...any) {
		out = append(out, Finding{What: fmt.Sprintf(format, args...), Next: next})
	}
	if !seen.NamespaceExists {
		add("kubectl create namespace "+in.Env.Namespace, "there is no namespace %q in this cluster", in.Env.Namespace)
		return out // nothing below can be judged without it
	}
	if seen.Record != nil && seen.Record.Release.Env.Name != in.Env.Name {
		add("give envs/"+in.Env.Name+".yaml a namespace of its own",
			"the namespace %s already holds %s of the environment %q", in.Env.Namespace, in.Env.App, seen.Record.Release.Env.Name)
	}
	secretFindings(in, add)
	serviceFindings(in, seen, add)
	orderFindings(in, seen, add)
	liveFindings(in, seen, add)
	rightFindings(in, seen, add)
	quotaFindings(in, seen, size, add)
	rangeFindings(in, seen, add)
	checkFindings(in, seen, add)
	return out
}

// notes returns what a person should know and what does not speak against going
// on.
func notes(in Input, seen Observed, size int) []string {
	var out []string
	if live := seen.Live(); live != nil && in.Restore == nil {
		if text, _ := order(in.Ancestry, *live, candidate(in)); text != "" {
			out = append(out, "it is "+text)
		}
	}
	for _, r := range seen.Denied {
		if r.advisory() {
			out = append(out, fmt.Sprintf("the account may not %s: what depends on it was not looked at", r))
		}
	}
	if text := roomNote(in, seen.Nodes, size); text != "" {
		out = append(out, text)
	}
	out = append(out, checkNotes(seen.Checked)...)
	for flag, why := range in.Reasons() {
		out = append(out, "--"+flag+": "+why)
	}
	slices.Sort(out)
	return out
}

type adder func(next, format string, args ...any)

// secretFindings compares the secrets that were given with those required.
func secretFindings(in Input, add adder) {
	var missing, surplus []string
	for _, name := range in.Env.Secrets.Required {
		if in.Secrets[name] == "" {
			missing = append(missing, name)
		}
	}
	for name := range in.Secrets {
		if !slices.Contains(in.Env.Secrets.Required, name) {
			surplus = append(surplus, name)
		}
	}
	slices.Sort(surplus)
	if len(missing) > 0 {
		add("add NAME=value lines to the file that --secrets names", "secrets required by envs/%s.yaml but not given: %s", in.Env.Name, strings.Join(missing, ", "))
	}
	if len(surplus) > 0 {
		add("list them under secrets.required, or leave them out of --secrets", "secrets given but not required by envs/%s.yaml: %s", in.Env.Name, strings.Join(surplus, ", "))
	}
}

// serviceFindings looks for anything about the live Service that is not as
// cutover left it. A selector that is not ours is never taken as permission.
func serviceFindings(in Input, seen Observed, add adder) {
	names := release.Names{App: in.Env.App}
	live := seen.LiveColour()
	show := fmt.Sprintf("kubectl --namespace=%s get service %s --output=yaml --show-managed-fields", in.Env.Namespace, names.Live())
	recorded := release.None
	if seen.Record != nil {
		recorded = seen.Record.Serving
	}
	switch {
	case seen.Service == nil && recorded != release.None:
		add(show, "the Service %s is gone, though %s served by the record of run %s", names.Live(), recorded, seen.Record.Run)
	case seen.Service == nil:
	case seen.Unfinished() && maps.Equal(seen.Service, names.Selector(release.Both)):
		// A run was interrupted while the colours overlapped: it is settled first.
	case !isSelector(names, seen.Service):
		add(show, "the Service %s selects %s (written by %s), which is not cutover's", names.Live(), selectorText(seen.Service), writers(seen))
	case live != recorded && seen.Unfinished():
		// It is settled first, from its record.
	case live != recorded:
		next := show
		if seen.Record != nil {
			next += fmt.Sprintf("\ndagger call unlock --env=%s --abandon=\"why\"   (when it was led there on purpose: that then counts as what serves)", in.Env.Name)
		}
		add(next, "the Service %s selects %s (written by %s), but by the record %s serves", names.Live(), live, writers(seen), recorded)
	case len(foreign(seen)) > 0 && in.Adopt == "":
		add(fmt.Sprintf("make sure that nothing else writes spec.selector (%s), then the same command with --adopt=\"why it is ours again\"", show),
			"%s wrote the colour in the selector of the Service %s; what it applies next could undo a switch", strings.Join(foreign(seen), ", "), names.Live())
	}
}

// liveFindings refuses to begin while what serves is down: there would be no way
// back. A rollback is the remedy, and whoever says why may deploy one.
func liveFindings(in Input, seen Observed, add adder) {
	live := seen.LiveColour()
	asRecorded := seen.Live() != nil && seen.Record.Serving == live && !seen.Unfinished()
	if !asRecorded || seen.Ready[live] > 0 || in.Restore != nil || in.LiveIsBroken != "" {
		return
	}
	add(fmt.Sprintf("dagger call rollback --env=%s   (to what served before), or the same command with --live-is-broken=\"why\"", in.Env.Name),
		"no pod of %s, which serves, is ready", live)
}

// foreign returns who but cutover owns the colour in the live Service's selector.
func foreign(seen Observed) []string {
	return slices.DeleteFunc(slices.Clone(seen.ServiceWriters), func(manager string) bool { return manager == release.Manager })
}

// orderFindings refuses an older commit over a newer one: a forgotten pipeline
// that finishes late must not undo what was deployed since.
func orderFindings(in Input, seen Observed, add adder) {
	live := seen.Live()
	if live == nil || in.Restore != nil || in.AllowOlder != "" {
		return
	}
	next := candidate(in)
	if text, older := order(in.Ancestry, *live, next); older {
		add(fmt.Sprintf("dagger call rollback --env=%s --to=RELEASE   (to go back), or the same command with --allow-older=\"why\"", in.Env.Name),
			"%s is %s, %s", short(next.Commit), text, short(live.Commit))
	}
}

func isSelector(names release.Names, selector map[string]string) bool {
	c := release.Colour(selector[release.LabelColour])
	return len(selector) == 2 && selector[release.LabelServes] == names.App && (c == release.Blue || c == release.Green)
}

func selectorText(selector map[string]string) string {
	var pairs []string
	for k, v := range selector {
		pairs = append(pairs, k+"="+v)
	}
	slices.Sort(pairs)
	return strings.Join(pairs, ",")
}

func writers(seen Observed) string {
	if len(seen.ServiceWriters) == 0 {
		return "nobody known"
	}
	return strings.Join(seen.ServiceWriters, ", ")
}

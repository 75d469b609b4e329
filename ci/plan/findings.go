package plan

import (
	"fmt"
	"slices"
	"strings"

	"cutover.dev/ci/release"
)

// findings returns everything that speaks against going on, all at once.
func findings(in Input, seen Observed) []Finding {
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
	case !isSelector(names, seen.Service):
		add(show, "the Service %s selects %s (written by %s), which is not cutover's", names.Live(), selectorText(seen.Service), writers(seen))
	case live != recorded:
		add(show, "the Service %s selects %s (written by %s), but by the record %s serves", names.Live(), live, writers(seen), recorded)
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

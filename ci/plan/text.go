package plan

import (
	"fmt"
	"strings"

	"cutover.dev/ci/release"
)

// Text returns the plan as a person reads it before saying yes.
func (p Plan) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "plan %s: %s to %s (namespace %s)\n", p.Hash, p.Release.Env.App, p.Release.Env.Name, p.Namespace)
	if p.Previous == nil {
		b.WriteString("  serves now  nothing\n")
	} else {
		fmt.Fprintf(&b, "  serves now  %s\n", describe(*p.Previous, p.PreviousColour))
	}
	switch p.Action {
	case Nothing:
		b.WriteString("  would do    nothing: this release already serves\n")
	case Deploy:
		next := p.Release
		if next.ID == "" {
			next.ID = "new"
		}
		fmt.Fprintf(&b, "  would raise %s, %d pods\n", describe(next, p.Colour), p.Replicas)
		fmt.Fprintf(&b, "  image       %s\n  bundle      %s\n", p.Release.Image, p.Release.Bundle)
	}
	if m := p.Migrations; m != nil {
		fmt.Fprintf(&b, "  migrations  %s\n", m)
	}
	for i, c := range p.Changes {
		fmt.Fprintf(&b, "  %-11s %s\n", title("changes", i), c)
	}
	for i, n := range p.Notes {
		fmt.Fprintf(&b, "  %-11s %s\n", title("notes", i), n)
	}
	for i, f := range p.Findings {
		fmt.Fprintf(&b, "  %-11s %s\n              next: %s\n", title("refused", i), f.What, f.Next)
	}
	return b.String()
}

func title(word string, i int) string {
	if i > 0 {
		return ""
	}
	return word
}

// describe says which release, which version and from which commit.
func describe(r release.Release, c release.Colour) string {
	text := fmt.Sprintf("%s, version %s, on %s", r.ID, r.Version, c)
	if r.Commit != "" {
		text += ", commit " + short(r.Commit)
	}
	return text
}

// short cuts a hash to what a person compares.
func short(hash string) string {
	if hash == "" {
		return "none"
	}
	return hash[:min(12, len(hash))]
}

// shortDigest cuts a reference by digest to the digest's beginning.
func shortDigest(ref string) string {
	_, hash, ok := strings.Cut(ref, "@sha256:")
	if !ok {
		return ref
	}
	return short(hash)
}

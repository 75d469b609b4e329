package rollout

import (
	"context"
	"fmt"
	"time"

	"cutover.dev/ci/release"
)

// Step is one act of a rollout and how it is taken back.
type Step struct {
	// Name is the step's key in the record, in reports and in metrics. It never
	// changes its meaning.
	Name string
	// Timeout bounds Do, and again the undo.
	Timeout time.Duration
	// Once says that Do must not be entered a second time: when a run was killed
	// inside it, a person decides.
	Once bool
	// Do acts. It looks first and does only what is not yet true, since a killed
	// run enters it again. What it learns goes into the record.
	Do func(context.Context, *release.Record) error
	// Undo says how the act is taken back. It is never left out.
	Undo Undo
}

// Undo says how a step is taken back: by Revert, Keep or Final.
type Undo struct {
	kind undoKind
	why  string
	fn   func(context.Context, *release.Record) error
}

type undoKind int

const (
	undeclared undoKind = iota
	reverts
	reads
	keeps
	finals
)

// Revert takes the step back by fn, which must accept that the act never
// happened, or happened by half.
func Revert(fn func(context.Context, *release.Record) error) Undo {
	return Undo{kind: reverts, fn: fn}
}

// Reads declares that the step changes nothing.
func Reads() Undo { return Undo{kind: reads, why: "it only reads"} }

// Keep leaves what the step did in place, and says why that is right.
func Keep(why string) Undo { return Undo{kind: keeps, why: why} }

// Final declares that there is no way back once the step has started: from
// there on a run can only go forward.
func Final(why string) Undo { return Undo{kind: finals, why: why} }

// Validate reports what is wrong with a list of steps: an empty or repeated
// name, a missing act, an undo that was not declared, or a Final that is not
// the last.
func Validate(steps []Step) error {
	seen := map[string]bool{}
	for i, s := range steps {
		switch {
		case s.Name == "" || s.Do == nil || s.Timeout <= 0:
			return fmt.Errorf("step %d (%q) needs a name, an act and a timeout", i, s.Name)
		case seen[s.Name]:
			return fmt.Errorf("step %q is listed twice", s.Name)
		case s.Undo.kind == undeclared:
			return fmt.Errorf("step %q does not say how it is undone", s.Name)
		case s.Undo.kind == reverts && s.Undo.fn == nil:
			return fmt.Errorf("step %q reverts by nothing", s.Name)
		case s.Undo.kind == finals && i != len(steps)-1:
			return fmt.Errorf("step %q is final, but %q comes after it", s.Name, steps[i+1].Name)
		}
		seen[s.Name] = true
	}
	return nil
}

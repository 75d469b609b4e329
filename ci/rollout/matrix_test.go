package rollout

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"cutover.dev/ci/outcome"
	"cutover.dev/ci/release"
)

// The matrix: every step of the pipeline's own list, at each of these moments,
// meets each of these faults. The world checks after every write that users are
// served; after the fault, the next command has to end as an undisturbed run
// would have.
var (
	phases = []Phase{BeforeDo, AfterDo, BeforeSave, AfterSave, BeforeUndo}
	faults = []fault{failure, cancellation, kill}
)

type fault string

const (
	failure      fault = "error"
	cancellation fault = "cancel"
	kill         fault = "kill"
)

var errInjected = errors.New("injected")

// cell is one case of the matrix.
type cell struct {
	step  Step
	last  bool
	phase Phase
	fault fault
	first bool // nothing serves yet
}

func (c cell) String() string {
	return fmt.Sprintf("%s/%s/%s/first=%t", c.step.Name, c.phase, c.fault, c.first)
}

func cells(steps []Step, first bool) (all []cell) {
	for i, s := range steps {
		for _, p := range phases {
			for _, f := range faults {
				all = append(all, cell{step: s, last: i == len(steps)-1, phase: p, fault: f, first: first})
			}
		}
	}
	return all
}

func TestTheMatrixHasEveryStepMomentAndFault(t *testing.T) {
	steps := (&Deployer{Input: input("2")}).Steps()
	require.Len(t, cells(steps, false), len(steps)*5*3)
}

func TestEveryFaultAtEveryMomentOfEveryStepEndsWell(t *testing.T) {
	steps := (&Deployer{Input: input("2")}).Steps()
	for _, first := range []bool{false, true} {
		for _, c := range cells(steps, first) {
			t.Run(c.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					for _, wrong := range c.play(t, nil) {
						t.Error(wrong)
					}
				})
			})
		}
	}
}

// play carries out one case and returns what was not as it should be. change, if
// not nil, alters the list of steps.
func (c cell) play(t *testing.T, change func([]Step) []Step) (wrong []string) {
	w := newWorld(t)
	if !c.first {
		w = worldWith(t, "1")
	}
	complaints := &complaints{}
	w.complain = complaints.add

	s := w.session()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	d := s.deployer(input("2"))
	hit := false
	d.hook = func(r *Runner) {
		if change != nil {
			r.Steps = change(r.Steps)
		}
		r.Fault = func(p Point) error {
			if s.dead {
				return errKilled
			}
			if c.phase == BeforeUndo && p.Phase == AfterDo && p.Step == c.reason() {
				return errors.New("the reason to undo")
			}
			if hit || p != (Point{c.step.Name, c.phase}) {
				return nil
			}
			hit = true
			switch c.fault {
			case cancellation:
				cancel()
				return context.Cause(ctx)
			case kill:
				s.dead = true
				return errKilled
			default:
				return errInjected
			}
		}
	}
	rec, err := d.Deploy(ctx)
	if s.dead {
		w.abandon()
	}
	c.judge(complaints, w, rec, err, hit)
	c.carryOn(complaints, w, change)
	return complaints.said
}

// reason is the step whose failure makes the case's step be undone: the last one
// that can fail the run.
func (c cell) reason() string {
	steps := (&Deployer{Input: input("2")}).Steps()
	return steps[len(steps)-2].Name
}

// judge looks at the end of the disturbed run itself.
func (c cell) judge(t *complaints, w *world, rec *release.Record, err error, hit bool) {
	undoes := c.step.Undo.kind == reverts
	switch {
	case c.phase == BeforeUndo && !undoes:
		assert.False(t, hit, "there is nothing to undo in %s", c.step.Name)
		return
	case c.fault == kill:
		assert.Error(t, err)
		assert.False(t, w.stored().Outcome.Finished(), "a killed run has not finished: %s", w.stored().Outcome)
		return
	}
	assert.True(t, hit, "the fault was never met")
	assert.Equal(t, rec.Outcome, w.stored().Outcome, "what is stored")
	switch {
	case c.last:
		assert.NoError(t, err)
		assert.Equal(t, release.Succeeded, rec.Outcome)
	case c.phase == BeforeUndo:
		assert.Equal(t, outcome.Halted, outcome.CodeOf(err))
		assert.Equal(t, release.Halted, rec.Outcome)
	case c.step.Undo.kind == reads && c.before():
		assert.Equal(t, outcome.Failed, outcome.CodeOf(err))
	default:
		assert.Equal(t, outcome.RolledBack, outcome.CodeOf(err), "%v", err)
		assert.Equal(t, release.RolledBack, rec.Outcome)
	}
}

// before reports whether nothing has been changed when the step comes.
func (c cell) before() bool {
	return c.step.Name == (&Deployer{Input: input("2")}).Steps()[0].Name
}

// carryOn does what the one who finds the run would do: resume it if it has not
// ended, and then deploy.
func (c cell) carryOn(t *complaints, w *world, change func([]Step) []Step) {
	hook := func(r *Runner) {
		if change != nil {
			r.Steps = change(r.Steps)
		}
	}
	if !w.stored().Finished() {
		backwards := w.stored().Undoing
		d := w.session().deployer(input("2"))
		d.hook = hook
		rec, err := d.Resume(w.t.Context())
		if backwards || rec != nil && rec.Outcome == release.RolledBack {
			assert.Equal(t, outcome.RolledBack, outcome.CodeOf(err), "%v", err)
			w.endsAs(t, c.first, "1")
		} else {
			assert.NoError(t, err)
			w.endsAs(t, false, "2")
		}
	} else {
		live := "1"
		if w.stored().Outcome == release.Succeeded {
			live = "2"
		}
		w.endsAs(t, c.first && live == "1", live)
	}
	d := w.session().deployer(input("3"))
	d.hook = hook
	_, err := d.Deploy(w.t.Context())
	assert.NoError(t, err, "the next deploy")
	w.endsAs(t, false, "3")
}

// complaints collects what is wrong instead of failing a test.
type complaints struct{ said []string }

func (c *complaints) add(text string)                   { c.said = append(c.said, text) }
func (c *complaints) Errorf(format string, args ...any) { c.add(fmt.Sprintf(format, args...)) }

// endsAs checks that the world is as an undisturbed run leaves it: the version
// serves, or nothing does; the other colour has no pods; no helper is left.
func (w *world) endsAs(t assert.TestingT, nothing bool, version string) {
	if nothing {
		assert.Equal(t, release.None, w.selects, "nothing may serve")
		assert.Empty(t, w.colours, "Deployments")
		assert.Empty(t, w.configs, "configurations")
	} else if live := w.colours[w.selects]; assert.NotNil(t, live, "the colour that serves: %s", w.selects) {
		assert.Equal(t, version, live.release.Version, "who serves")
		assert.Equal(t, 3, live.size, "its size")
		assert.Equal(t, w.selects, w.stored().Serving, "what the record says of what serves")
		if idle := w.colours[w.selects.Other()]; idle != nil {
			assert.Zero(t, idle.size, "pods of the idle colour")
		}
	}
	assert.Empty(t, w.agent, "the agent")
	assert.Equal(t, release.None, w.preview, "the preview Service")
	assert.Empty(t, w.holder, "the lock")
}

// Removing an undo, or taking the undos in another order, must not go unnoticed:
// else the matrix would prove nothing.
func TestTheMatrixNoticesEveryUndoThatIsMissing(t *testing.T) {
	steps := (&Deployer{Input: input("2")}).Steps()
	for i, s := range steps {
		if s.Undo.kind != reverts {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			noticed(t, steps, func(steps []Step) []Step {
				steps[i].Undo = Keep("a mistake")
				return steps
			})
		})
	}
}

func TestTheMatrixNoticesUndosInTheWrongOrder(t *testing.T) {
	steps := (&Deployer{Input: input("2")}).Steps()
	var reverting []int
	for i, s := range steps {
		if s.Undo.kind == reverts {
			reverting = append(reverting, i)
		}
	}
	for n, i := range reverting {
		for _, j := range reverting[n+1:] {
			t.Run(steps[i].Name+" and "+steps[j].Name, func(t *testing.T) {
				noticed(t, steps, func(steps []Step) []Step {
					steps[i].Undo, steps[j].Undo = steps[j].Undo, steps[i].Undo
					return steps
				})
			})
		}
	}
}

// noticed checks that at least one case of the matrix goes wrong.
func noticed(t *testing.T, steps []Step, change func([]Step) []Step) {
	for _, first := range []bool{false, true} {
		for _, c := range cells(steps, first) {
			if wrong := c.play(t, change); len(wrong) > 0 {
				return
			}
		}
	}
	t.Error("no case of the matrix went wrong")
}

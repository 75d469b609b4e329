package rollout

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"cutover.dev/ci/outcome"
	"cutover.dev/ci/release"
)

// The calls in the midst of which a pod crashes, by the step that they belong to.
var crashes = map[string]string{
	"raise":       "wait ready",
	"verify":      "answers of preview",
	"switch":      "wait endpoints",
	"verify-live": "answers of live",
	"bake":        "probe of live",
}

func TestACrashInAnyStepFromRaiseToBakeBringsThePreviousVersionBack(t *testing.T) {
	for step, call := range crashes {
		t.Run(step, func(t *testing.T) {
			w := worldWith(t, "1")
			w.crashes = map[string]chan struct{}{"2": make(chan struct{})}
			s := w.session()
			rec, err := func() (*release.Record, error) {
				d := s.deployer(input("2"))
				in := ""
				d.hook = func(r *Runner) {
					r.Fault = func(p Point) error {
						if p.Phase == BeforeDo {
							in = p.Step
						}
						return nil
					}
				}
				s.trouble = func(name string, after bool) error {
					if name == call && in == step && after {
						s.trouble = nil
						close(w.crashes["2"])
					}
					return nil
				}
				return d.Deploy(context.Background())
			}()

			require.Equal(t, outcome.RolledBack, outcome.CodeOf(err), "%v", err)
			require.ErrorContains(t, err, "step "+step+": pod notes-x crashed: OOMKilled")
			assert.Equal(t, release.Broken, stateBefore(rec, step))
			w.serves("1")
		})
	}
}

// stateBefore returns what became of a step's act: an undo writes over its state.
func stateBefore(rec *release.Record, step string) release.State {
	if st := rec.Step(step); st.Error != "" {
		return release.Broken
	} else {
		return st.State
	}
}

func TestACrashIsToldWithTheLastWordsAndEvents(t *testing.T) {
	require.EqualError(t, &Crash{Pod: "notes-x", What: "crashed: Error (exit code 1) after 5s", Log: []string{"one", "two"}, Events: []string{"BackOff: later"}},
		`pod notes-x crashed: Error (exit code 1) after 5s
  its last words:
    one
    two
  its last events:
    BackOff: later`)
	require.EqualError(t, &Crash{Pod: "notes-x", What: "crashed"}, "pod notes-x crashed")
}

func TestAVersionThatWasTakenBackIsToldWithTheTimeItHadUsers(t *testing.T) {
	w := worldWith(t, "1")
	w.lossy["2"] = true
	rec, err := w.deploy("2")
	require.Equal(t, outcome.RolledBack, outcome.CodeOf(err))
	require.NotNil(t, rec.SwitchedBack)
	failed, ok := err.(*outcome.Error)
	require.True(t, ok)
	require.Contains(t, failed.Now, "; version 2 had users for ")

	w = worldWith(t, "1")
	w.sick["2"] = true
	rec, err = w.deploy("2")
	require.Equal(t, outcome.RolledBack, outcome.CodeOf(err))
	require.Nil(t, rec.SwitchedBack, "it never had users")
	require.NotContains(t, err.Error(), "had users")
}

package rollout

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"cutover.dev/ci/outcome"
	"cutover.dev/ci/release"
)

func TestWhatTheGuardDidIsTakenIntoTheRecord(t *testing.T) {
	for name, carryOn := range map[string]func(*world) (*release.Record, error){
		"resume": func(w *world) (*release.Record, error) {
			return w.session().deployer(input("2")).Resume(context.Background())
		},
		"rollback": func(w *world) (*release.Record, error) { return w.rollback("", ThenSecrets) },
	} {
		for _, call := range []string{"answers of live", "probe of live", "park blue"} { // the last: retire had begun
			t.Run(name+" before "+call, func(t *testing.T) {
				w := worldWith(t, "1")
				s := w.session()
				s.trouble = func(name string, after bool) error {
					if s.dead = s.dead || name == call; s.dead {
						return errKilled
					}
					return nil
				}
				_, err := s.deployer(input("2")).Deploy(context.Background())
				require.Error(t, err)
				w.abandon()
				w.selects = release.Blue // the agent's guard, on its own
				w.guarded = &release.GuardReport{Run: w.stored().Run, State: release.GuardSwitchedBack, Evidence: "requests were lost: 9 of 90 failed"}

				rec, err := carryOn(w)
				if name == "resume" {
					require.Equal(t, outcome.RolledBack, outcome.CodeOf(err))
					require.ErrorContains(t, err, "9 of 90 failed")
				} else {
					require.NoError(t, err)
				}
				require.Equal(t, release.RolledBack, rec.Outcome)
				require.NotNil(t, w.stored().Guard)
				w.serves("1")
			})
		}
	}
}

package rollout_test

import (
	"context"
	"testing"

	"cutover.dev/ci/rollout"
	"cutover.dev/ci/rollout/contract"
)

func TestTheClusterInMemoryKeepsTheContract(t *testing.T) {
	contract.Test(t, "notes-prod", func(t *testing.T, _ string) contract.Subject {
		m := rollout.NewMemory(t)
		return contract.Subject{
			Cluster: m, Store: m, Locker: m,
			Inject: func(f contract.Fault) {
				switch f {
				case contract.None:
					m.Heal()
				case contract.Lost:
					m.Fail(true)
				default:
					m.Fail(false)
				}
			},
			Look: func(ctx context.Context) (contract.State, error) {
				s := contract.State{Selects: m.Selects(), Preview: m.Preview(), Sizes: m.Sizes(), Leasts: m.Leasts(), Releases: m.Releases(), Holder: m.Holder()}
				if rec := m.Record(ctx); rec != nil {
					s.Run, s.Outcome = rec.Run, rec.Outcome
				}
				return s, nil
			},
		}
	})
}

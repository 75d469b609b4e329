package rollout

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"cutover.dev/ci/release"
)

// Memory is the cluster in memory, for the contract.
type Memory struct{ *session }

// NewMemory returns an empty one.
func NewMemory(t *testing.T) Memory {
	w := newWorld(t)
	w.bare, w.enough = true, 0
	return Memory{w.session()}
}

// Fail lets the next call fail, before or after its effect.
func (m Memory) Fail(after bool) {
	failed := false
	m.trouble = func(_ string, now bool) error {
		if failed || now != after {
			return nil
		}
		failed = true
		return errors.New("injected")
	}
}

// Heal lets calls succeed again.
func (m Memory) Heal() { m.trouble = nil }

// What is there.
func (m Memory) Selects() release.Colour { return m.session.selects }
func (m Memory) Preview() release.Colour { return m.session.preview }
func (m Memory) Holder() string          { return m.session.holder }
func (m Memory) Releases() []string      { return slices.Sorted(maps.Keys(m.session.configs)) }
func (m Memory) Sizes() map[release.Colour]int {
	sizes := map[release.Colour]int{}
	for c, p := range m.session.colours {
		sizes[c] = p.size
	}
	return sizes
}

func (m Memory) Leasts() map[release.Colour]int {
	leasts := map[release.Colour]int{}
	for c, p := range m.session.colours {
		if p.least > 0 {
			leasts[c] = p.least
		}
	}
	return leasts
}

// Record is the current one.
func (m Memory) Record(context.Context) *release.Record { return m.session.stored() }

package release

import (
	"time"

	"cutover.dev/ci/probe"
)

// Guard is the ConfigMap in which the agent writes down what it did while no
// runner was at work. It outlives the runs; a report names the one that it is
// about.
func (n Names) Guard() string { return n.App + "-cutover-guard" }

// GuardState is how far the guard has come.
type GuardState string

// The states of a guard's report.
const (
	// GuardIntended: it was about to switch back, and may have done so.
	GuardIntended GuardState = "intended"
	// GuardSwitchedBack: the live Service selects the previous colour again.
	GuardSwitchedBack GuardState = "switched back"
	// GuardFailed: it could not switch back; Error says why.
	GuardFailed GuardState = "failed"
	// GuardRecorded: on a first release there is nothing to switch back to, so it
	// only wrote down the evidence.
	GuardRecorded GuardState = "recorded"
)

// GuardReport is what the agent's guard saw and did after the run's own process
// had died.
type GuardReport struct {
	Run   string     `json:"run"`
	At    time.Time  `json:"at"` // when this was written, by the agent's clock
	State GuardState `json:"state"`
	// Evidence is the verdict on the live Service, one sentence.
	Evidence string `json:"evidence"`
	// Error is why it failed.
	Error string `json:"error,omitempty"`
	// From is the colour that served, To the one that was to serve again.
	From Colour `json:"from"`
	To   Colour `json:"to,omitempty"`
	// Tally is what the evidence rests on.
	Tally *probe.Tally `json:"tally,omitempty"`
}

// Package release holds what survives a kill: the Record of a run, the Release
// it takes to the cluster, and the history of an application in an environment.
//
// The types here only describe; package kube stores them and package rollout
// decides by them.
package release

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"cutover.dev/ci/config"
	"cutover.dev/ci/probe"
)

// FormatVersion is the version of the Record's JSON that this binary writes. A
// Record of a newer version is refused, since its meaning is not known.
const FormatVersion = 1

// Colour is one of the two sides of a blue-green deployment. Empty means none:
// before the first release nothing serves.
type Colour string

// The two colours. Neither is special; the first release takes Blue.
const (
	None  Colour = ""
	Blue  Colour = "blue"
	Green Colour = "green"
	// Both is what the live Service selects while switch.overlap lasts. It is
	// never a side of its own.
	Both Colour = "both"
)

// String returns the colour's name, and "nothing" for None, as sentences need it.
// Labels, names and JSON hold the plain value.
func (c Colour) String() string {
	if c == None {
		return "nothing"
	}
	return string(c)
}

// Other returns the colour that does not serve when c does.
func (c Colour) Other() Colour {
	if c == Blue {
		return Green
	}
	return Blue
}

// Release is one version of the application with everything that is needed to
// raise it again: images by digest, configuration as it was, and the names of
// its immutable ConfigMap and Secret, which follow from its ID.
type Release struct {
	// ID is "r" and the number of the run that first took it to the cluster.
	ID string `json:"id"`
	// Version is what the application answers on its version path.
	Version string `json:"version"`
	// Image and Bundle are references by digest.
	Image  string `json:"image"`
	Bundle string `json:"bundle"`
	// Commit and CommittedAt are the source's, when it came from git.
	Commit      string     `json:"commit,omitempty"`
	CommittedAt *time.Time `json:"committed_at,omitempty"`
	// Env is the configuration the release was made with.
	Env config.Env `json:"env"`
	// Migrations is a hash over the bundle's migrations, empty without a database.
	Migrations string `json:"migrations,omitempty"`
	// Fingerprint is a hash over everything that makes the running release what it
	// is, secrets excepted. Two releases with equal fingerprints and equal secrets
	// are the same to their users.
	Fingerprint string `json:"fingerprint"`
	// Schema is the database's version after this release's migrations ran, 0
	// without a database.
	Schema int64 `json:"schema,omitempty"`
	// Contracts are the versions of the contract migrations that the bundle has: once
	// they ran, this release still works and one that does not have them does not.
	Contracts []int64 `json:"contracts,omitempty"`
}

// Kind is what a run was asked for.
type Kind string

// The kinds of run.
const (
	// Deploy takes a new release to the cluster.
	Deploy Kind = "deploy"
	// Rollback takes one that served before to it again.
	Rollback Kind = "rollback"
	// Contract takes from the database what only older releases use.
	Contract Kind = "contract"
)

// Outcome is how a run ended, or that it has not.
type Outcome string

// The outcomes of a run.
const (
	// Running: not finished; the run may be alive or killed.
	Running Outcome = "running"
	// Succeeded: the release serves.
	Succeeded Outcome = "succeeded"
	// Unchanged: the release already served; nothing was done.
	Unchanged Outcome = "unchanged"
	// RolledBack: a step failed, everything was undone, what served before serves.
	RolledBack Outcome = "rolledback"
	// Refused: a gate said no before anything was changed.
	Refused Outcome = "refused"
	// Failed: a machine failed before anything was changed.
	Failed Outcome = "failed"
	// Halted: an undo failed; a person has to look.
	Halted Outcome = "halted"
	// Abandoned: a person gave a run up that had not finished, by `unlock`.
	Abandoned Outcome = "abandoned"
)

// Finished reports whether the run has ended for good. A halted one has not: it
// holds the application until a person has looked.
func (o Outcome) Finished() bool { return o != Running && o != Halted }

// State is how far a step has come.
type State string

// The states of a step. A step that is Started or Undoing in the record of a
// killed run may or may not have acted.
const (
	Pending State = "pending"
	Started State = "started"
	Done    State = "done"
	Broken  State = "failed"
	Skipped State = "skipped"
	Undoing State = "undoing"
	Undone  State = "undone"
)

// Step is what the record knows of one step.
type Step struct {
	Name    string     `json:"name"`
	State   State      `json:"state"`
	Started *time.Time `json:"started,omitempty"`
	Ended   *time.Time `json:"ended,omitempty"`
	// Note is what the step found or did, one line for the report.
	Note string `json:"note,omitempty"`
	// Error is why it failed.
	Error string `json:"error,omitempty"`
	// Tests are the smoke tests that it ran.
	Tests []Test `json:"tests,omitempty"`
}

// Result is how a test ended.
type Result string

// The results of a test, as Go's test runner says them.
const (
	Pass Result = "pass"
	Fail Result = "fail"
	Skip Result = "skip"
)

// Test is one smoke test and how it ended.
type Test struct {
	Name    string  `json:"name"`
	Result  Result  `json:"result"`
	Seconds float64 `json:"seconds"`
	// Output is what a failed one said.
	Output string `json:"output,omitempty"`
}

// Metric is what Prometheus answered to a query while the release baked.
type Metric struct {
	Name string `json:"name"`
	// Answers is how many there were, NoData how many of them without a value,
	// Breaches how many out of bounds.
	Answers  int `json:"answers"`
	NoData   int `json:"no_data,omitempty"`
	Breaches int `json:"breaches,omitempty"`
	// Least and Most are the bounds of all values; without a value they mean nothing.
	Least float64 `json:"least"`
	Most  float64 `json:"most"`
}

// String says what was measured in a few words.
func (m Metric) String() string {
	text := fmt.Sprintf("was %.4g", m.Least)
	switch {
	case m.Answers == m.NoData:
		text = "had no value"
	case m.Least != m.Most:
		text += fmt.Sprintf(" to %.4g", m.Most)
	}
	text += fmt.Sprintf(" in %d answers", m.Answers)
	if m.Breaches > 0 {
		text += fmt.Sprintf(", %d out of bounds", m.Breaches)
	}
	return text
}

// Seconds returns how long the step took, 0 while it has not ended.
func (s Step) Seconds() float64 {
	if s.Started == nil || s.Ended == nil {
		return 0
	}
	return s.Ended.Sub(*s.Started).Seconds()
}

// Record is the whole truth about one run: it is saved before and after every
// act, so that whoever comes next knows what was begun and what was finished.
// It holds no secret.
type Record struct {
	Format int `json:"format"`
	// Number counts the runs of the application in its environment, from 1.
	Number int `json:"number"`
	// Run identifies the run; a new one for every call, unlike Label.
	Run string `json:"run"`
	// Label is what the caller passed as --run-id, such as a CI job's number.
	Label string `json:"label,omitempty"`
	// By is who ran it and from where, as far as known.
	By string `json:"by,omitempty"`

	// Kind is what was asked for.
	Kind Kind `json:"kind"`

	Namespace string `json:"namespace"`
	// Plan is the hash of the plan that the run carries out.
	Plan string `json:"plan"`

	// Release is what the run takes to the cluster, on Colour.
	Release Release `json:"release"`
	Colour  Colour  `json:"colour"`
	// Previous is what served when the run began, on PreviousColour. Nil on the
	// first release.
	Previous       *Release `json:"previous,omitempty"`
	PreviousColour Colour   `json:"previous_colour,omitempty"`

	// Replicas is the size the new colour is raised to.
	Replicas int `json:"replicas"`
	// Pinned is the minimum that the previous colour's autoscaler had before the
	// run raised it; 0 without an autoscaler.
	Pinned int `json:"pinned,omitempty"`
	// Pending are the migrations that the release brings; Remember says that the
	// database's ledger is to be brought up to date also without any. Contracting are the
	// versions of those by which the run takes something from the database, and
	// RestorePoint is where that stood before.
	Pending      []string `json:"pending,omitempty"`
	Remember     bool     `json:"remember,omitempty"`
	Contracting  []int64  `json:"contracting,omitempty"`
	RestorePoint string   `json:"restore_point,omitempty"`
	// Schema is the database's version, and Contracted are the contract migrations that
	// it has, as far as the run knows: see Release.Lives.
	Schema     int64   `json:"schema,omitempty"`
	Contracted []int64 `json:"contracted,omitempty"`
	// Reasons are what the caller gave for what would else have been refused, by
	// the flag's name.
	Reasons map[string]string `json:"reasons,omitempty"`

	Steps   []Step  `json:"steps"`
	Outcome Outcome `json:"outcome"`
	// Undoing says that the run goes backwards, because of Error.
	Undoing bool   `json:"undoing,omitempty"`
	Error   string `json:"error,omitempty"`

	// Switched is when the switch began, SwitchedBack when a run that was taken back
	// had its users on the previous version again, both by the agent's clock. What
	// the prober saw from the switch on is in Probe.
	Switched     *time.Time   `json:"switched,omitempty"`
	SwitchedBack *time.Time   `json:"switched_back,omitempty"`
	Probe        *probe.Tally `json:"probe,omitempty"`
	// Baseline is what the prober saw until the switch of a version that was deployed
	// away from because it was broken.
	Baseline *probe.Count `json:"baseline,omitempty"`
	// Metrics are what Prometheus answered since the switch.
	Metrics []Metric `json:"metrics,omitempty"`
	// Guard is what the agent did while nobody else was at work.
	Guard *GuardReport `json:"guard,omitempty"`

	Started time.Time  `json:"started"`
	Ended   *time.Time `json:"ended,omitempty"`
	// Serving is the colour that serves now, as the run last knew.
	Serving Colour `json:"serving,omitempty"`
}

// LiveIsBroken is the reason for which a run replaces what is not well.
const LiveIsBroken = "live-is-broken"

// Finished reports whether nothing is left to do: the run has ended for good, and
// no step of one that succeeded could not be completed.
func (r *Record) Finished() bool {
	return r.Outcome.Finished() && !(r.Outcome == Succeeded && slices.ContainsFunc(r.Steps, func(s Step) bool { return s.State != Done }))
}

// First reports whether nothing served when the run began.
func (r *Record) First() bool { return r.Previous == nil }

// Restores reports whether the run brings a release back as it was, under its
// own name.
func (r *Record) Restores() bool {
	return r.Kind == Rollback && r.Release.ID != fmt.Sprintf("r%d", r.Number)
}

// Step returns the record of the named step, or nil.
func (r *Record) Step(name string) *Step {
	for i := range r.Steps {
		if r.Steps[i].Name == name {
			return &r.Steps[i]
		}
	}
	return nil
}

// ServingRelease returns the release that serves as far as the run knows, nil
// if none does.
func (r *Record) ServingRelease() *Release {
	switch r.Serving {
	case None:
		return nil
	case r.Colour:
		return &r.Release
	default:
		return r.Previous
	}
}

// OnBad returns how long a version that was taken back had users, false when it
// had none or nobody could tell.
func (r *Record) OnBad() (time.Duration, bool) {
	if r.Outcome != RolledBack && !r.Undoing || r.Switched == nil || r.SwitchedBack == nil {
		return 0, false
	}
	return r.SwitchedBack.Sub(*r.Switched), true
}

// Clone returns a deep copy, so that a saved record cannot change afterwards.
func (r *Record) Clone() *Record {
	data, err := json.Marshal(r)
	if err != nil {
		panic(fmt.Sprintf("release: a record cannot be encoded: %v", err)) // only plain data inside
	}
	copied := new(Record)
	if err := json.Unmarshal(data, copied); err != nil {
		panic(fmt.Sprintf("release: a record cannot be decoded: %v", err))
	}
	return copied
}

// Summary is one line of the history.
type Summary struct {
	Number  int       `json:"number"`
	Run     string    `json:"run"`
	Kind    Kind      `json:"kind"`
	By      string    `json:"by,omitempty"`
	Release string    `json:"release"`
	Version string    `json:"version"`
	Outcome Outcome   `json:"outcome"`
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
}

// Summary returns the record's line in the history.
func (r *Record) Summary() Summary {
	s := Summary{Number: r.Number, Run: r.Run, Kind: r.Kind, By: r.By, Release: r.Release.ID, Version: r.Release.Version, Outcome: r.Outcome, Started: r.Started}
	if r.Ended != nil {
		s.Seconds = r.Ended.Sub(r.Started).Seconds()
	}
	return s
}

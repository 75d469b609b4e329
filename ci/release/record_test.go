package release

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cutover.dev/ci/config"
	"cutover.dev/ci/probe"
)

func full() *Record {
	at := time.Date(2026, 3, 1, 12, 0, 0, 250e6, time.UTC)
	later := at.Add(90 * time.Second)
	env := config.Env{
		Name: "prod", App: "notes", Namespace: "notes-prod", Port: 8080, Replicas: 3, Env: map[string]string{"A": "1"},
		Migrations: &config.Migrations{Dir: "sql", Engine: "postgres", DSN: "DSN", Timeout: time.Minute},
		Raise:      config.Raise{Timeout: 90 * time.Second},
	}
	return &Record{
		Format: FormatVersion, Number: 7, Run: "RUN", Label: "job 1", By: "ann", Kind: Rollback, Pinned: 2, Reasons: map[string]string{"allow-older": "why"},
		Undoing: true, Switched: &at, Probe: &probe.Tally{From: at, Last: later, Watched: 9, Count: probe.Count{Sent: 3, OK: 2, Failed: 1}},
		Guard: &GuardReport{Run: "RUN", At: at, State: GuardSwitchedBack, Evidence: "e", From: Green, To: Blue}, Namespace: "notes-prod", Plan: "hash",
		Release:  Release{ID: "r7", Version: "2", Image: "i", Bundle: "b", Commit: "c", CommittedAt: &at, Env: env, Migrations: "m", Fingerprint: "f", Schema: 3},
		Colour:   Green,
		Previous: &Release{ID: "r5", Version: "1", Env: env}, PreviousColour: Blue,
		Replicas: 3,
		Steps:    []Step{{Name: "raise", State: Done, Started: &at, Ended: &later, Note: "n"}, {Name: "verify", State: Broken, Error: "e"}},
		Outcome:  RolledBack, Error: "why", Started: at, Ended: &later, Serving: Blue,
	}
}

func TestARecordIsReadAsItWasWritten(t *testing.T) {
	data, err := json.Marshal(full())
	require.NoError(t, err)
	read := new(Record)
	require.NoError(t, json.Unmarshal(data, read))
	require.Equal(t, full(), read)
}

func TestACloneSharesNothing(t *testing.T) {
	rec := full()
	copied := rec.Clone()
	require.Equal(t, rec, copied)
	copied.Steps[0].State = Undone
	copied.Previous.Version = "x"
	copied.Release.Env.Env["A"] = "x"
	*copied.Ended = time.Time{}
	require.Equal(t, full(), rec)
}

func TestServingRelease(t *testing.T) {
	rec := full()
	require.Equal(t, "r5", rec.ServingRelease().ID, "the previous colour serves")
	rec.Serving = Green
	require.Equal(t, "r7", rec.ServingRelease().ID, "the run's own colour serves")
	rec.Serving = None
	require.Nil(t, rec.ServingRelease())
	first := &Record{Colour: Blue}
	require.True(t, first.First())
	require.Nil(t, first.ServingRelease())
	unchanged := &Record{Colour: Blue, PreviousColour: Blue, Serving: Blue, Release: Release{ID: "r5"}, Previous: &Release{ID: "r5"}}
	require.Equal(t, "r5", unchanged.ServingRelease().ID)
}

func TestOtherIsTheIdleColour(t *testing.T) {
	require.Equal(t, Green, Blue.Other())
	require.Equal(t, Blue, Green.Other())
	require.Equal(t, Blue, None.Other(), "the first release takes blue")
}

func TestFinished(t *testing.T) {
	for outcome, want := range map[Outcome]bool{
		Running: false, Halted: false, Succeeded: true, Unchanged: true, RolledBack: true, Refused: true, Failed: true,
	} {
		require.Equal(t, want, outcome.Finished(), outcome)
	}
}

func TestSteps(t *testing.T) {
	rec := full()
	rec.Step("raise").Note = "changed"
	require.Equal(t, "changed", rec.Steps[0].Note, "it is the record's own")
	require.Nil(t, rec.Step("nope"))
	require.InDelta(t, 90, rec.Step("raise").Seconds(), 0.001)
	require.Zero(t, rec.Step("verify").Seconds())
}

func TestSummary(t *testing.T) {
	rec := full()
	require.Equal(t, Summary{Number: 7, Run: "RUN", Kind: Rollback, By: "ann", Release: "r7", Version: "2", Outcome: RolledBack, Started: rec.Started, Seconds: 90}, rec.Summary())
	rec.Ended = nil
	require.Zero(t, rec.Summary().Seconds)
}

func TestNames(t *testing.T) {
	n := Names{App: "notes"}
	require.Equal(t, "notes", n.Live())
	require.Equal(t, "notes-preview", n.Preview())
	require.Equal(t, "notes-blue", n.Deployment(Blue))
	require.Equal(t, "notes-r7", n.Config("r7"))
	require.Equal(t, "notes-cutover-agent", n.Agent())
	require.Equal(t, "notes-r7-migrate", n.Migrate("r7"))
	require.Equal(t, "notes-cutover", n.Head())
	require.Equal(t, "notes-cutover-7", n.Archive(7))
	require.Equal(t, map[string]string{LabelServes: "notes", LabelColour: "green"}, n.Selector(Green))
	n.Labels()["x"] = "y"
	require.Equal(t, map[string]string{LabelApp: "notes", LabelManagedBy: "cutover"}, n.Labels(), "a fresh map every time")
}

func TestARunHasFinishedWhenNothingIsLeftToDo(t *testing.T) {
	for _, c := range []struct {
		outcome Outcome
		last    State
		want    bool
	}{
		{Running, Started, false}, {Halted, Undoing, false},
		{Succeeded, Done, true}, {Succeeded, Broken, false}, {Succeeded, Started, false},
		{RolledBack, Pending, true}, {Unchanged, Skipped, true}, {Refused, Broken, true}, {Failed, Broken, true}, {Abandoned, Started, true},
	} {
		rec := &Record{Outcome: c.outcome, Steps: []Step{{Name: "raise", State: Done}, {Name: "retire", State: c.last}}}
		require.Equal(t, c.want, rec.Finished(), "%+v", c)
	}
}

func TestARollbackRestoresUnlessItMadeAReleaseOfItsOwn(t *testing.T) {
	for _, c := range []struct {
		kind Kind
		id   string
		want bool
	}{{Deploy, "r7", false}, {Rollback, "r7", false}, {Rollback, "r3", true}} {
		require.Equal(t, c.want, (&Record{Number: 7, Kind: c.kind, Release: Release{ID: c.id}}).Restores(), "%+v", c)
	}
}

func TestAHolderTellsItsRun(t *testing.T) {
	require.Equal(t, "ABC", HolderRun(Holder("ci run 7 of main", "ABC")))
	require.NotEqual(t, Holder("ci", "ABC"), Holder("ci", "ABC"), "two processes of one run are told apart")
	for _, other := range []string{"", "somebody", "agent/ABC", "a run b"} {
		require.Empty(t, HolderRun(other), other)
	}
}

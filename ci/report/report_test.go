package report

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cutover.dev/ci/config"
	"cutover.dev/ci/plan"
	"cutover.dev/ci/release"
	"cutover.dev/ci/rollout"
)

var begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(seconds float64) *time.Time {
	return new(begin.Add(time.Duration(seconds * float64(time.Second))))
}

func record() *release.Record {
	env := config.Env{Name: "prod", App: "notes", Namespace: "notes-prod"}
	return &release.Record{
		Number: 7, Run: "K3J2", Label: "job 1", Plan: "0123456789ab",
		Release: release.Release{ID: "r7", Version: "1.1.0", Env: env}, Colour: release.Green,
		Previous: &release.Release{ID: "r5", Version: "1.0.0", Env: env}, PreviousColour: release.Blue,
		Outcome: release.Succeeded, Started: begin, Ended: at(21.04), Serving: release.Green,
		Steps: []release.Step{
			{Name: "raise", State: release.Done, Started: at(0), Ended: at(12.34), Note: "3 pods of green ready"},
			{Name: "verify-live", State: release.Done, Started: at(13), Ended: at(14), Note: "20 fresh connections in a row answered version 1.1.0"},
		},
	}
}

func TestTextOfARunThatSucceeded(t *testing.T) {
	require.Equal(t, `notes 1.1.0 to prod: succeeded in 21.0 s
  raise        done      12.3 s  3 pods of green ready
  verify-live  done       1.0 s  20 fresh connections in a row answered version 1.1.0
  serving      r7, version 1.1.0, on green
  run          K3J2, number 7 (job 1), plan 0123456789ab
`, Text(record()))
}

func TestTextOfARunThatWasRolledBack(t *testing.T) {
	rec := record()
	rec.Outcome, rec.Serving, rec.Label = release.RolledBack, release.Blue, ""
	rec.Steps[0].State, rec.Steps[0].Error = release.Undone, "pod notes-green-x cannot become ready: CrashLoopBackOff"
	rec.Steps[1] = release.Step{Name: "verify-live", State: release.Pending}
	require.Equal(t, `notes 1.1.0 to prod: rolled back in 21.0 s
  raise        undone    12.3 s  pod notes-green-x cannot become ready: CrashLoopBackOff
  verify-live  pending        -  
  serving      r5, version 1.0.0, on blue
  run          K3J2, number 7, plan 0123456789ab
`, Text(rec))
}

func TestTextOfARunThatChangedNothing(t *testing.T) {
	rec := record()
	rec.Outcome, rec.Release, rec.Colour, rec.Serving = release.Unchanged, *rec.Previous, release.Blue, release.Blue
	require.Equal(t, `notes 1.0.0 to prod: already live, nothing to do
  serving      r5, version 1.0.0, on blue
  run          K3J2, number 7 (job 1), plan 0123456789ab
`, Text(rec))
}

func TestTextSaysWhereTheSchemaIs(t *testing.T) {
	rec := record()
	rec.Schema = 4
	require.Contains(t, Text(rec), "\n  schema       at 4\n")
	rec.Outcome = release.RolledBack
	require.Contains(t, Text(rec), "\n  schema       at 4, where it stays\n")
	rec.Outcome, rec.Kind = release.Succeeded, release.Rollback
	require.Contains(t, Text(rec), "\n  schema       at 4, where it stays\n")

	rec.Kind, rec.RestorePoint, rec.Plan = release.Contract, "s3://backups/7", ""
	text := Text(rec)
	require.Contains(t, text, "contract: notes 1.1.0 to prod: succeeded")
	require.Contains(t, text, "\n  restore      s3://backups/7\n")
	require.Contains(t, text, "number 7 (job 1)\n")
}

func TestALineThatAHelperSaidIsSeenAsSuch(t *testing.T) {
	require.Equal(t, "migrate      | 2_x.sql was applied in 0.1 s", Line(rollout.Event{Step: "migrate", State: release.Started, Said: "2_x.sql was applied in 0.1 s"}))
}

func TestTheHeadlineSaysHowARunEnded(t *testing.T) {
	for outcome, want := range map[release.Outcome]string{
		release.Halted: "halted in 21.0 s", release.Refused: "refused in 21.0 s", release.Failed: "failed in 21.0 s",
		release.Running: "not finished, begun 2026-03-01T12:00:00Z",
	} {
		rec := record()
		rec.Outcome = outcome
		require.Contains(t, Text(rec), "notes 1.1.0 to prod: "+want+"\n")
	}
}

func TestServingNothing(t *testing.T) {
	require.Equal(t, "nothing", Serving(&release.Record{Colour: release.Blue}))
}

func TestJSONIsTheRecord(t *testing.T) {
	data, err := Run(record(), "json")
	require.NoError(t, err)
	read := new(release.Record)
	require.NoError(t, json.Unmarshal([]byte(data), read))
	require.Equal(t, record(), read)
}

func TestLine(t *testing.T) {
	for want, e := range map[string]rollout.Event{
		"raise        started":                           {Step: "raise", State: release.Started, Note: "an old one"},
		"raise        done in 12.3 s: 3 pods ready":      {Step: "raise", State: release.Done, Note: "3 pods ready", Seconds: 12.34},
		"verify-live  failed in 1.0 s: it does not look": {Step: "verify-live", State: release.Broken, Note: "it does not look", Seconds: 1},
		"switch       undoing":                           {Step: "switch", State: release.Undoing},
		"run A is undone first":                          {State: release.Undoing, Note: "run A is undone first"},
	} {
		require.Equal(t, want, Line(e))
	}
}

func observed() (config.Env, plan.Observed) {
	rec := record()
	return rec.Release.Env, plan.Observed{
		NamespaceExists: true, Record: rec, Service: release.Names{App: "notes"}.Selector(release.Green),
		Ready: map[release.Colour]int{release.Green: 2}, Size: map[release.Colour]int{release.Green: 3},
		LiveSecrets: map[string]string{"DATABASE_URL": "correct-horse"},
	}
}

func status(t *testing.T, seen plan.Observed, holder string) string {
	t.Helper()
	env, _ := observed()
	text, err := Status(env, seen, holder, "text")
	require.NoError(t, err)
	return text
}

func TestStatusSaysWhatServesAndWhoIsAtWork(t *testing.T) {
	_, seen := observed()
	text := status(t, seen, "ann run A")
	require.Contains(t, text, `notes in prod (namespace notes-prod)
  serving   r7, version 1.1.0, on green: 2 of 3 pods ready
  at work   ann run A

last run: notes 1.1.0 to prod: succeeded in 21.0 s
`)
	require.NotContains(t, text, "next")
}

func TestStatusOfAnEmptyNamespace(t *testing.T) {
	require.Equal(t, `notes in prod (namespace notes-prod)
  serving   nothing
  last run  none
`, status(t, plan.Observed{NamespaceExists: true}, ""))
}

func TestStatusTellsASelectorThatIsNotAsRecorded(t *testing.T) {
	_, seen := observed()
	seen.Service = release.Names{App: "notes"}.Selector(release.Blue)
	require.Contains(t, status(t, seen, ""), "  serving   blue, which is not what the record says: r7, version 1.1.0, on green\n")
}

func TestStatusOfAServiceWithoutARecordIsNoPanic(t *testing.T) {
	_, seen := observed()
	seen.Record = nil
	require.Contains(t, status(t, seen, ""), "  serving   green, which is not what the record says: nothing\n")
}

func TestStatusOfAKilledRunSaysWhatToType(t *testing.T) {
	_, seen := observed()
	seen.Record.Outcome, seen.Record.Ended, seen.Record.Error = release.Running, nil, "why"
	require.Contains(t, status(t, seen, ""), "  error        why\n  next         dagger call resume --env=prod")
	require.NotContains(t, status(t, seen, "ann run A"), "next  ", "it is alive")
}

func TestStatusAsJSONHoldsNoSecret(t *testing.T) {
	env, seen := observed()
	text, err := Status(env, seen, "ann", "json")
	require.NoError(t, err)
	require.NotContains(t, text, "correct-horse")
	var read map[string]any
	require.NoError(t, json.Unmarshal([]byte(text), &read))
	require.Equal(t, "green", read["colour"])
	require.Equal(t, "ann", read["holder"])
	require.Equal(t, "r7", read["live"].(map[string]any)["id"])
}

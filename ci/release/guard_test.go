package release

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cutover.dev/ci/probe"
)

func TestAGuardsReportIsReadAsItWasWritten(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	report := GuardReport{
		Run: "RUN", At: at, State: GuardFailed, Evidence: "requests were lost", Error: "forbidden", From: Green, To: Blue,
		Tally: &probe.Tally{From: at, Last: at, Watched: 1, Count: probe.Count{Sent: 2, OK: 1, Failed: 1}},
	}
	data, err := json.Marshal(report)
	require.NoError(t, err)
	var read GuardReport
	require.NoError(t, json.Unmarshal(data, &read))
	require.Equal(t, report, read)
}

func TestTheGuardsConfigMapIsTheApplications(t *testing.T) {
	require.Equal(t, "notes-cutover-guard", Names{App: "notes"}.Guard())
}

package probe

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// watched is a second with so many answers and failures.
func watched(second float64, ok, failed int) Second {
	s := Second{At: at(second), Count: Count{Sent: ok + failed, OK: ok, Failed: failed}}
	if failed > 0 {
		s.Failures = map[Kind]int{Reset: failed}
		s.FirstFailure = &Failure{At: at(second + 0.25), Class: Kept, Kind: Reset, Request: "GET /notes", Detail: "gone"}
	}
	return s
}

func tally(from float64, seconds ...Second) *Tally {
	t := &Tally{From: at(from)}
	for _, s := range seconds {
		t.Add(s)
	}
	return t
}

func TestATallyAddsUpItsSeconds(t *testing.T) {
	one, two := watched(0, 8, 2), watched(1, 9, 1)
	one.Latency, two.Latency = Latency{P50: 3, P99: 5, Max: 90}, Latency{P50: 2, P99: 7, Max: 8}
	one.Versions, two.Versions = map[string]int{"1": 6, "2": 2}, map[string]int{"2": 9}
	one.Classes = map[Class]Count{Fresh: {Sent: 5, OK: 5}, Kept: {Sent: 5, OK: 3, Failed: 2, Versions: map[string]int{"1": 3}}}
	two.Classes = map[Class]Count{Kept: {Sent: 10, OK: 9, Failed: 1, Versions: map[string]int{"2": 9}}}
	two.Failures = map[Kind]int{Late: 1}
	assert.Equal(t, &Tally{
		From: at(0), Last: at(1), Watched: 2,
		Count:   Count{Sent: 20, OK: 17, Failed: 3, Versions: map[string]int{"1": 6, "2": 11}},
		Latency: Latency{P50: 3, P99: 7, Max: 90},
		Classes: map[Class]Count{
			Fresh: {Sent: 5, OK: 5},
			Kept:  {Sent: 15, OK: 12, Failed: 3, Versions: map[string]int{"1": 3, "2": 9}},
		},
		Failures: map[Kind]int{Reset: 2, Late: 1},
		First:    one.FirstFailure,
		Mixed:    1,
	}, tally(0, one, two))
}

func TestTheEarliestFailureIsKept(t *testing.T) {
	one, two := watched(0, 0, 1), watched(1, 0, 1)
	two.FirstFailure.At = at(-1) // a second names one of its failures, not always the earliest
	assert.Equal(t, at(-1), tally(0, one, two).First.At)
	one.FirstFailure.Detail = "changed"
	assert.Equal(t, "gone", tally(0, watched(0, 0, 1)).First.Detail)
}

func TestTheSecondInWhichATallyBeginsCountsWhole(t *testing.T) {
	for from, want := range map[float64]int{0: 2, 0.001: 2, 0.999: 2, 1: 1, 1.5: 1, 2: 0} {
		assert.Equal(t, want, tally(from, watched(0, 1, 0), watched(1, 1, 0)).Watched, "from %v", from)
	}
	zero := new(Tally)
	zero.Add(watched(0, 1, 0))
	assert.Equal(t, 1, zero.Watched, "without a moment it counts all")
}

func TestASecondThatIsReadAgainCountsOnce(t *testing.T) {
	seconds := []Second{watched(0, 1, 0), watched(1, 1, 1), watched(2, 1, 0)}
	got := tally(0, append(seconds, seconds...)...)
	got.Add(watched(5, 1, 0))
	assert.Equal(t, 4, got.Watched, "seconds that nobody watched are none")
	assert.Equal(t, 4, got.OK)
	assert.Equal(t, 1, got.Failed)
	assert.Equal(t, at(5), got.Last)
}

func TestATallyGoesOnWhereItsJSONLeftOff(t *testing.T) {
	seconds := []Second{watched(0, 5, 0), watched(1, 3, 2), watched(2, 5, 0)}
	text, err := json.Marshal(tally(0.5, seconds[:2]...))
	require.NoError(t, err)
	read := new(Tally)
	require.NoError(t, json.Unmarshal(text, read))
	for _, s := range seconds {
		read.Add(s)
	}
	assert.Equal(t, tally(0.5, seconds...), read)
}

func TestATallysJSONIsFlatSnakeCase(t *testing.T) {
	text, err := json.Marshal(tally(0, watched(0, 1, 0)))
	require.NoError(t, err)
	assert.JSONEq(t, `{"from": "2026-11-02T12:00:00Z", "last": "2026-11-02T12:00:00Z", "watched": 1,
		"sent": 1, "ok": 1, "failed": 0, "p50_ms": 0, "p99_ms": 0, "max_ms": 0, "mixed": 0}`, string(text))
}

func TestAClonedTallySharesNothing(t *testing.T) {
	s := watched(0, 1, 1)
	s.Versions = map[string]int{"1": 1}
	s.Classes = map[Class]Count{Kept: {OK: 1, Versions: map[string]int{"1": 1}}}
	original, same := tally(0, s), tally(0, s)
	copied := original.Clone()
	assert.Equal(t, *original, copied)
	s.At = at(1)
	copied.Add(s)
	copied.First.Detail = "changed"
	assert.Equal(t, same, original)
}

func TestVersionsOfATallyAreBounded(t *testing.T) {
	got := new(Tally)
	for i := range 100 {
		s := watched(float64(i), 1, 0)
		s.Versions = map[string]int{fmt.Sprint("request-", i): 1}
		got.Add(s)
	}
	assert.Len(t, got.Versions, maxVersions+1)
	assert.Equal(t, 100-maxVersions, got.Versions[OtherVersion])
}

func TestATallysVerdictAsksForEnoughAnswersAndFewEnoughFailures(t *testing.T) {
	for _, c := range []struct {
		tally          *Tally
		min, tolerated int
		want           string
		is             error
	}{
		{tally: tally(0, watched(0, 10, 0)), min: 10},
		{tally: tally(0, watched(0, 10, 2)), min: 10, tolerated: 2},
		{tally: tally(0, watched(0, 10, 0)), min: 11, is: ErrUnproven, want: "nothing is proved: 10 requests were answered, at least 11 are needed"},
		{tally: new(Tally), is: ErrUnproven, want: "nothing is proved: 0 requests were answered, at least 1 are needed"},
		{tally: tally(0, watched(0, 0, 2)), tolerated: 2, is: ErrUnproven, want: "nothing is proved: 0 requests were answered, at least 1 are needed"},
		{tally: tally(0, watched(0, 7, 3)), is: ErrLost,
			want: "requests were lost: 3 of 10 failed (3 reset); the first, 2026-11-02T12:00:00.250Z, kept GET /notes: reset: gone"},
		{tally: tally(0, watched(0, 7, 3)), tolerated: 2, is: ErrLost,
			want: "requests were lost: 3 of 10 failed, 2 are tolerated (3 reset); the first, 2026-11-02T12:00:00.250Z, kept GET /notes: reset: gone"},
	} {
		err := c.tally.Verdict(c.min, c.tolerated)
		if c.is == nil {
			assert.NoError(t, err)
			continue
		}
		assert.ErrorIs(t, err, c.is)
		assert.EqualError(t, err, c.want)
	}
}

func TestWhatWasSeenOfASecondIsNotChangedByATally(t *testing.T) {
	s := watched(0, 1, 1)
	s.Versions = map[string]int{"1": 1}
	got := tally(0, s)
	next := watched(1, 1, 1)
	next.Versions = map[string]int{"1": 1}
	got.Add(next)
	assert.Equal(t, map[string]int{"1": 1}, s.Versions)
	assert.Equal(t, map[Kind]int{Reset: 1}, s.Failures)
	assert.WithinDuration(t, at(0.25), s.FirstFailure.At, time.Nanosecond)
}

package probe

import (
	"fmt"
	"math"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time {
	return noon.Add(time.Duration(seconds * float64(time.Second)))
}

func answer(due time.Time, version string) outcome {
	return outcome{class: Kept, due: due, request: "GET /", answered: true, latency: 2 * time.Millisecond, version: version}
}

func pipe(t *testing.T) *conn {
	t.Helper()
	a, b := net.Pipe()
	t.Cleanup(func() {
		a.Close()
		b.Close()
	})
	return &conn{Conn: a}
}

func TestSecondIsHandedOutWhenItsLastRequestEnds(t *testing.T) {
	var got []Second
	r := newRecorder([]Class{Kept}, func(s Second) { got = append(got, s) })
	for _, due := range []float64{0.25, 0.75, 1.5, 2.5} {
		r.begin(at(due))
	}
	r.end(answer(at(1.5), ""))
	r.end(answer(at(0.25), ""))
	assert.Empty(t, r.seconds, "one is still in flight")
	r.end(answer(at(0.75), ""))
	assert.Len(t, r.seconds, 2)
	r.end(answer(at(2.5), ""))
	assert.Len(t, r.seconds, 2, "the last second may get more")
	result := r.finish(at(0.25), at(3))

	assert.Equal(t, result.Seconds, got)
	for i, sent := range []int{2, 1, 1} {
		assert.Equal(t, at(float64(i)), got[i].At)
		assert.Equal(t, sent, got[i].Sent)
		assert.Equal(t, sent, got[i].Classes[Kept].OK)
		assert.InDelta(t, 2, got[i].P50, 0.2)
	}
}

func TestFirstAndLastMixedSecondAreKept(t *testing.T) {
	r := newRecorder([]Class{Kept}, nil)
	for second, versions := range [][]string{{"v1"}, {"v1", "v2"}, {"v2"}, {"v2", "v1"}, {"v2", ""}} {
		for _, v := range versions {
			r.begin(at(float64(second)))
			r.end(answer(at(float64(second)), v))
		}
	}
	result := r.finish(at(0), at(5))
	assert.Equal(t, at(1), result.FirstMixed)
	assert.Equal(t, at(3), result.LastMixed)
}

func TestFailuresOfASecondAreNamed(t *testing.T) {
	r := newRecorder([]Class{Kept}, nil)
	for i, err := range []*Error{nil, failf(Reset, "gone"), failf(Late, "busy"), failf(Reset, "gone again")} {
		o := outcome{class: Kept, due: at(float64(i) / 10), request: "GET /notes", err: err}
		r.begin(o.due)
		r.end(o)
	}
	result := r.finish(at(0), at(1))
	s := result.Seconds[0]
	assert.Equal(t, Count{Sent: 3, OK: 1, Failed: 3}, s.Count)
	assert.Equal(t, map[Kind]int{Reset: 2, Late: 1}, s.Failures)
	assert.Equal(t, &Failure{At: at(0.1), Class: Kept, Kind: Reset, Request: "GET /notes", Detail: "gone"}, s.FirstFailure)
	assert.EqualError(t, result.Verdict(Minimum{}),
		"requests were lost: 3 of 4 failed (2 reset, 1 late); the first, 2026-11-02T12:00:00.100Z, kept GET /notes: reset: gone")
}

func TestLongRunsKeepTheirMemoryBounded(t *testing.T) {
	r := newRecorder([]Class{Kept}, nil)
	for i := range MaxSeconds + 100 {
		o := answer(at(float64(i)), fmt.Sprint("request-", i))
		o.err = failf(Status, "500")
		r.begin(o.due)
		r.end(o)
		require.Len(t, r.open, 1)
	}
	result := r.finish(at(0), at(0))
	assert.Len(t, result.Seconds, MaxSeconds)
	assert.Equal(t, at(100), result.Seconds[0].At)
	assert.Equal(t, MaxSeconds+100, result.Sent)
	assert.Len(t, result.Failures[Status].First, maxSamples)
	assert.Len(t, result.Versions, maxVersions+1)
	assert.Equal(t, MaxSeconds+100-maxVersions, result.Versions[OtherVersion])
}

func TestVerdictAsksForEnoughEvidence(t *testing.T) {
	good := Result{
		Start: at(0), End: at(10), Count: Count{Sent: 10, OK: 10},
		Classes: map[Class]ClassResult{Fresh: {Count: Count{OK: 9}}, Kept: {Count: Count{OK: 1}}},
	}
	assert.NoError(t, good.Verdict(Minimum{}))
	assert.NoError(t, good.Verdict(Minimum{OK: 10, OKEach: 1, From: at(0), Through: at(10)}))
	for want, m := range map[string]Minimum{
		"10 requests were answered, at least 11 are needed":                          {OK: 11},
		"1 kept requests were answered, at least 2 are needed":                       {OKEach: 2},
		"probing began at 2026-11-02T12:00:00.000Z, after 2026-11-02T11:59:59.000Z":  {From: at(-1)},
		"probing ended at 2026-11-02T12:00:10.000Z, before 2026-11-02T12:00:11.000Z": {Through: at(11)},
	} {
		err := good.Verdict(m)
		assert.ErrorIs(t, err, ErrUnproven)
		assert.EqualError(t, err, "nothing is proved: "+want)
	}
	assert.ErrorIs(t, Result{}.Verdict(Minimum{}), ErrUnproven)
}

func TestQuantilesAreNeverTooLowAndHardlyTooHigh(t *testing.T) {
	var h histogram
	for ms := range 1000 {
		h.add(time.Duration(ms+1) * time.Millisecond)
	}
	for q, exact := range map[float64]time.Duration{0.5: 500 * time.Millisecond, 0.99: 990 * time.Millisecond, 1: time.Second} {
		assert.GreaterOrEqual(t, h.quantile(q), exact)
		assert.LessOrEqual(t, h.quantile(q), exact+exact/16+time.Microsecond)
	}
	assert.Equal(t, time.Second, h.max)
	assert.Zero(t, (&histogram{}).quantile(0.99))
}

func TestEveryLatencyHasItsBucket(t *testing.T) {
	last := 0
	for _, d := range []time.Duration{-1, 0, 1, time.Microsecond, 15 * time.Microsecond, 16 * time.Microsecond, 31 * time.Microsecond, 32 * time.Microsecond, time.Millisecond, time.Second, time.Minute, 134 * time.Second, time.Hour, math.MaxInt64} {
		i := bucket(d)
		assert.GreaterOrEqual(t, i, last, d)
		assert.Less(t, i, buckets, d)
		assert.GreaterOrEqual(t, upper(i), d)
		last = i
	}
	for i := range buckets - 1 {
		assert.Equal(t, i+1, bucket(upper(i)), "buckets touch")
	}
	assert.Equal(t, buckets-1, last)
}

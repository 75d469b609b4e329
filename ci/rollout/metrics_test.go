package rollout

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cutover.dev/ci/agent"
	"cutover.dev/ci/config"
	"cutover.dev/ci/outcome"
	"cutover.dev/ci/plan"
	"cutover.dev/ci/release"
)

// asking is version 2 with one query.
func asking(q config.Query) plan.Input {
	in := input("2")
	in.Env.Metrics = &config.Metrics{Prometheus: "http://prometheus:9090"}
	in.Env.Bake.Interval, in.Env.Bake.Queries = 10*time.Second, map[string]config.Query{"errors": q}
	return in
}

// measured deploys version 2 while Prometheus answers so about "errors". Its answers
// are later than any switch of the in-memory world.
func measured(t *testing.T, q config.Query, answers ...agent.Measurement) (*world, *release.Record, error) {
	w := worldWith(t, "1")
	for i := range answers {
		answers[i].Metric, answers[i].At = "errors", w.clock.Add(time.Hour+time.Duration(i)*10*time.Second)
	}
	w.measured = map[string][]agent.Measurement{"errors": answers}
	rec, err := w.session().deployer(asking(q)).Deploy(context.Background())
	return w, rec, err
}

func is(value float64) agent.Measurement { return agent.Measurement{Least: value, Most: value} }

var none = agent.Measurement{NoData: "the answer is empty"}

func TestAMetricOutOfBoundsBringsThePreviousVersionBack(t *testing.T) {
	w, rec, err := measured(t, config.Query{Max: new(0.01)}, is(0), is(0.5))
	require.Equal(t, outcome.RolledBack, outcome.CodeOf(err))
	require.ErrorContains(t, err, "step bake: since the switch, the metric errors was out of bounds: 0.5 is more than 0.01 (1 of 2 answers, 0 are tolerated)")
	require.Equal(t, []release.Metric{{Name: "errors", Answers: 2, Breaches: 1, Most: 0.5}}, w.stored().Metrics, "the evidence is kept")
	require.NotNil(t, rec)
	w.serves("1")
}

func TestAMetricIsBorneOutOfBoundsAsOftenAsDeclared(t *testing.T) {
	w, rec, err := measured(t, config.Query{Min: new(100.0), Tolerate: 2}, is(150), is(50), is(60), is(200))
	require.NoError(t, err)
	require.Contains(t, rec.Step("bake").Note, "errors was 50 to 200 in 4 answers, 2 out of bounds")
	w.serves("2")
}

func TestNoDataFailsUnlessItIsDeclaredToPass(t *testing.T) {
	w, _, err := measured(t, config.Query{Max: new(0.01)}, is(0), none)
	require.Equal(t, outcome.RolledBack, outcome.CodeOf(err))
	require.ErrorContains(t, err, "the metric errors was out of bounds: there is no data: the answer is empty")
	w.serves("1")

	w, rec, err := measured(t, config.Query{Max: new(0.01), NoData: "pass"}, none, none)
	require.NoError(t, err)
	require.Contains(t, rec.Step("bake").Note, "errors had no value in 2 answers")
	w.serves("2")
}

func TestWithoutAnyAnswerThereIsNoVerdict(t *testing.T) {
	w, _, err := measured(t, config.Query{Max: new(0.01), NoData: "pass"})
	require.Equal(t, outcome.RolledBack, outcome.CodeOf(err))
	w.serves("1")
}

func TestWhatWasMeasuredBeforeTheSwitchIsAboutThePreviousVersion(t *testing.T) {
	w := worldWith(t, "1")
	old := is(1)
	old.At = w.clock.Add(-time.Hour)
	late := is(0)
	late.At = w.clock.Add(time.Hour)
	w.measured = map[string][]agent.Measurement{"errors": {old, late}}
	rec, err := w.session().deployer(asking(config.Query{Max: new(0.01)})).Deploy(context.Background())
	require.NoError(t, err)
	require.Equal(t, []release.Metric{{Name: "errors", Answers: 1}}, rec.Metrics)
}

func TestEverySeriesOfAnAnswerCounts(t *testing.T) {
	got, reason := judge(config.Query{Min: new(1.0), Max: new(2.0)}, []agent.Measurement{{Least: 0.5, Most: 1.5}, {Least: 1.5, Most: 2.5}, {Least: 0, Most: 3}})
	require.Equal(t, release.Metric{Answers: 3, Breaches: 3, Least: 0, Most: 3}, got)
	require.Equal(t, "0 is less than 1 and 3 is more than 2", reason)
}

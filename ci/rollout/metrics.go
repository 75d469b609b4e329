package rollout

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"cutover.dev/ci/agent"
	"cutover.dev/ci/config"
	"cutover.dev/ci/release"
)

// measure takes what Prometheus answered since the switch into the record. It
// returns whether each query has an answer, or which of them has too many that are
// out of bounds.
func (d *Deployer) measure(rec *release.Record) (all bool, err error) {
	b := rec.Release.Env.Bake
	all, rec.Metrics = true, nil
	for _, name := range slices.Sorted(maps.Keys(b.Queries)) {
		// What was asked sooner is about what served before.
		from := rec.Switched.Add(b.Interval)
		got, reason := judge(b.Queries[name], since(d.Agent.Measured(name), from))
		got.Name = name
		rec.Metrics = append(rec.Metrics, got)
		all = all && got.Answers > 0
		if tolerate := b.Queries[name].Tolerate; got.Breaches > tolerate && err == nil {
			err = fmt.Errorf("the metric %s was out of bounds: %s (%d of %d answers, %d are tolerated)", name, reason, got.Breaches, got.Answers, tolerate)
		}
	}
	return all, err
}

func since(list []agent.Measurement, from time.Time) []agent.Measurement {
	return slices.DeleteFunc(list, func(m agent.Measurement) bool { return m.At.Before(from) })
}

// judge counts a query's answers. The reason is what was wrong with the last that
// is out of bounds.
func judge(q config.Query, answers []agent.Measurement) (got release.Metric, reason string) {
	for _, a := range answers {
		got.Answers++
		if a.NoData != "" {
			got.NoData++
			if q.NoData != "pass" {
				got.Breaches++
				reason = "there is no data: " + a.NoData
			}
			continue
		}
		var wrong []string
		if q.Min != nil && a.Least < *q.Min {
			wrong = append(wrong, fmt.Sprintf("%g is less than %g", a.Least, *q.Min))
		}
		if q.Max != nil && a.Most > *q.Max {
			wrong = append(wrong, fmt.Sprintf("%g is more than %g", a.Most, *q.Max))
		}
		if len(wrong) > 0 {
			got.Breaches++
			reason = strings.Join(wrong, " and ")
		}
		if got.Answers-got.NoData == 1 {
			got.Least, got.Most = a.Least, a.Most
		}
		got.Least, got.Most = min(got.Least, a.Least), max(got.Most, a.Most)
	}
	return got, reason
}

// metrics says what was measured, empty without queries.
func metrics(list []release.Metric) string {
	var b strings.Builder
	for _, m := range list {
		fmt.Fprintf(&b, "; %s %s", m.Name, m)
	}
	return b.String()
}

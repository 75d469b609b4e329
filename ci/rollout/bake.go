package rollout

import (
	"context"
	"fmt"
	"time"

	"cutover.dev/ci/probe"
	"cutover.dev/ci/release"
)

// bake watches the new version serve, for as long as is configured, and judges
// every request since the switch began. Only seconds that the prober saw count:
// a run that was killed and resumed goes on where the agent was not blind.
func (d *Deployer) bake(ctx context.Context, rec *release.Record) error {
	env := rec.Release.Env
	watched := int((env.Bake.For + time.Second - 1) / time.Second)
	err := d.Agent.WaitProbe(ctx, liveTarget, *rec.Switched, func(t probe.Tally) (bool, error) {
		rec.Probe = &t
		borne, known := tolerated(rec, t)
		if known && t.Failed > borne {
			return false, t.Verdict(env.Probe.Samples, borne)
		}
		if err := d.tooSlow(rec, t); err != nil {
			return false, err
		}
		measured, err := d.measure(rec)
		if err != nil {
			return false, err
		}
		return t.Watched >= watched && measured && t.Verdict(env.Probe.Samples, borne) == nil, nil
	})
	if err != nil {
		return fmt.Errorf("since the switch, %w", err)
	}
	if err := d.stillLeads(ctx, rec); err != nil {
		return err
	}
	note(rec, "bake", "watched for %d s: %s%s", rec.Probe.Watched, lost(rec.Probe), metrics(rec.Metrics))
	return nil
}

// tolerated returns how many requests may have failed by now. Where a broken version
// was replaced, the new one may be as bad as that was, in parts of what was sent;
// this is not known before there are enough of them.
func tolerated(rec *release.Record, t probe.Tally) (borne int, known bool) {
	p, total := rec.Release.Env.Probe, t.OK+t.Failed
	b := rec.Baseline
	if b == nil || b.OK+b.Failed == 0 {
		return p.Tolerate, true
	}
	return max(p.Tolerate, total*b.Failed/(b.OK+b.Failed)), total >= p.Samples
}

// tooSlow says so when the new version has been too slow for too long: single seconds
// are slow for many reasons.
func (d *Deployer) tooSlow(rec *release.Record, t probe.Tally) error {
	limit := rec.Release.Env.Probe.P99
	if limit == 0 {
		return nil
	}
	seconds, slow, worst := 0, 0, time.Duration(0)
	for _, s := range d.Agent.Series(liveTarget) {
		if !s.At.After(t.From) { // the second of the switch is no version's own
			continue
		}
		seconds++
		if p99 := time.Duration(s.P99 * float64(time.Millisecond)); p99 > limit {
			slow++
			worst = max(worst, p99)
		}
	}
	if slow > max(2, seconds/10) {
		return fmt.Errorf("answers were too slow: in %d of %d seconds the p99 was over %s, in the worst %s", slow, seconds, limit, worst.Round(time.Millisecond))
	}
	return nil
}

// lost says how many requests failed, of how many.
func lost(t *probe.Tally) string {
	return fmt.Sprintf("%d of %d requests failed since the switch", t.Failed, t.OK+t.Failed)
}

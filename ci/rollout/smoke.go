package rollout

import (
	"context"
	"fmt"
	"strings"
	"time"

	"cutover.dev/ci/plan"
	"cutover.dev/ci/release"
	"cutover.dev/ci/smoke"
)

// smoke runs the release's smoke tests in the cluster, against a Service. Whatever
// is not a pass is a failure: also no answer, and no test at all.
func (d *Deployer) smoke(ctx context.Context, rec *release.Record, step, target, service string) error {
	if rec.Release.Env.Smoke == nil {
		return nil
	}
	log, err := d.Cluster.Smoke(ctx, rec, target, service)
	st := rec.Step(step)
	st.Tests = smoke.Parse(log)
	if err != nil {
		return fmt.Errorf("smoke tests against %s: %w%s", service, err, failures(st.Tests, log))
	}
	if rec.Release.Env.Smoke.Package != "" && len(st.Tests) == 0 {
		return fmt.Errorf("smoke tests against %s: no test was run", service)
	}
	note(rec, step, "%s; %s", st.Note, passed(st.Tests))
	return nil
}

// endSmoke removes what smoke tests that failed, or were cut off, have left.
func (d *Deployer) endSmoke(ctx context.Context, rec *release.Record) error {
	if rec.Release.Env.Smoke == nil {
		return nil
	}
	for _, target := range []string{previewTarget, liveTarget} {
		if err := d.Cluster.EndSmoke(ctx, rec, target); err != nil {
			return err
		}
	}
	return nil
}

// failures are the failed tests with their own output, or the suite's last words
// where it told of no tests.
func failures(tests []release.Test, log string) string {
	var b strings.Builder
	for _, t := range tests {
		if t.Result == release.Fail {
			fmt.Fprintf(&b, "\n  %s", t.Name)
			if t.Output != "" {
				b.WriteString("\n    " + strings.ReplaceAll(t.Output, "\n", "\n    "))
			}
		}
	}
	if b.Len() == 0 && log != "" {
		b.WriteString("\n    " + strings.ReplaceAll(smoke.Tail(log, lastWords), "\n", "\n    "))
	}
	return b.String()
}

// lastWords is how many bytes are shown of a suite that tells of no tests.
const lastWords = 1500

func passed(tests []release.Test) string {
	counts := map[release.Result]int{}
	for _, t := range tests {
		counts[t.Result]++
	}
	switch {
	case len(tests) == 0:
		return "smoke suite passed"
	case counts[release.Skip] > 0:
		return fmt.Sprintf("%d smoke tests passed, %d were skipped", counts[release.Pass], counts[release.Skip])
	default:
		return fmt.Sprintf("%d smoke tests passed", counts[release.Pass])
	}
}

// smokeTimeout bounds the smoke tests of one step.
func (d *Deployer) smokeTimeout() time.Duration {
	if s := d.Input.Env.Smoke; s != nil {
		return plan.SmokeDeadline(s) + 15*time.Second // the Job's own deadline comes first
	}
	return 0
}

package trial

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"cutover.dev/ci/e2e/stage"
	"cutover.dev/ci/outcome"
	"cutover.dev/ci/release"
)

// Bad is a release with a fault and the gate that has to catch it.
type Bad struct {
	// Fault is what the example application is built with, see example/fault.go. Empty:
	// it is a good release, and something else is bad.
	Fault string
	// Gate is the name of what catches it, Steps are those in which it may do so.
	Gate  string
	Steps []string
	// Says is a part of the evidence.
	Says string
	// Edits are changes to the configuration that the fault needs to show.
	Edits []stage.Edit
}

// smoke switches the smoke tests on.
var smoke = []stage.Edit{{From: "# smoke:  # a suite", To: "smoke:  # a suite"}, {From: "#   package: ./smoke ", To: "  package: ./smoke "}}

// Gates returns the bad releases, each with its gate. Without a Prometheus none has to
// be found by a metric.
func Gates(prometheus string) []Bad {
	if prometheus == "" {
		return gates
	}
	asks := func(prometheus string) []stage.Edit {
		return []stage.Edit{
			{From: "# metrics:  # where", To: "metrics:  # where"},
			{From: "#   prometheus: http://prometheus.monitoring:9090 ", To: "  prometheus: " + prometheus + " "},
			{From: "  for: 5s", To: "  for: 60s"},
			{From: "  # interval: 10s ", To: "  interval: 4s "},
			{From: "  # queries:  ", To: "  queries: {created: {promql: '" + created + "', max: 200}} #"},
		}
	}
	return append(slices.Clip(gates),
		Bad{Fault: "miscount", Gate: "metrics", Steps: []string{"bake"}, Says: "the metric created was out of bounds", Edits: asks(prometheus)},
		Bad{Gate: "no data", Steps: []string{"bake"}, Says: "there is no data: ", Edits: asks("http://127.0.0.1:1")})
}

// created is how many notes the new version's users make, per second.
const created = `sum(rate(notes_created_total{namespace="${namespace}",pod=~"${app}-${colour}-.*"}[10s]))`

var gates = []Bad{
	{Fault: "never-ready", Gate: "raise", Steps: []string{"raise"}, Says: "0 of 3 pods are ready"},
	{Fault: "crash", Gate: "crash watch", Steps: []string{"raise", "verify", "switch", "verify-live", "bake"}, Says: "crashed: Error (exit code 1)",
		// The drain test and the prober, which may see it sooner, are to say nothing.
		Edits: []stage.Edit{{From: "  drain: true", To: "  drain: false"}, {From: "  # tolerate: 1 ", To: "  tolerate: 100000 "}}},
	{Fault: "wrong-version", Gate: "verify", Steps: []string{"verify"}, Says: "preview did not answer 20 times in a row with version",
		Edits: []stage.Edit{{From: "  timeout: 1m  # within", To: "  timeout: 10s # within"}}},
	{Fault: "forgetful", Gate: "smoke tests", Steps: []string{"verify"}, Says: "TestNotesAreListedNewestFirstUpToTheLimit", Edits: smoke},
	{Fault: "two-faced", Gate: "smoke tests", Steps: []string{"verify-live"}, Says: "TestNotesAreListedNewestFirstUpToTheLimit", Edits: smoke},
	{Fault: "hang", Gate: "drain test", Steps: []string{"verify"}, Says: "drain test: the pod",
		Edits: []stage.Edit{{From: "  grace: 30s", To: "  grace: 10s"}}},
	{Fault: "errors", Gate: "prober", Steps: []string{"bake"}, Says: "requests were lost",
		Edits: []stage.Edit{{From: "  for: 5s", To: "  for: 60s"}}},
	{Fault: "sluggish", Gate: "prober", Steps: []string{"bake"}, Says: "answers were too slow",
		Edits: []stage.Edit{{From: "  # p99: 500ms ", To: "  p99: 500ms "}, {From: "  for: 5s", To: "  for: 60s"}}},
	{Fault: "leak", Gate: "crash watch", Steps: []string{"bake"}, Says: "crashed: OOMKilled (exit code 137)",
		// So much memory that it dies a while after it was led to; and the prober, which
		// sees it as soon, is to say nothing.
		Edits: []stage.Edit{{From: "memory: 128Mi", To: "memory: 768Mi"}, {From: "  for: 5s", To: "  for: 90s"}, {From: "  # tolerate: 1 ", To: "  tolerate: 100000 "}}},
}

// Caught is what came of a bad release.
type Caught struct {
	Fault string `json:"fault"`
	Gate  string `json:"gate"`
	Step  string `json:"step"` // that failed
	// OnBad is how long it had users, Failed how many of their requests failed.
	OnBad  float64 `json:"seconds_on_bad"`
	Failed int     `json:"failed"`
	// Back is the time from the evidence to the users on the previous version,
	// negative when they never left it.
	Back  float64  `json:"seconds_to_come_back"`
	Wrong []string `json:"wrong,omitempty"`
}

// Catch deploys a bad release under load. It has to be caught by its gate and
// taken back without a trace, and every request afterwards answered by what
// served before.
func (t *Trial) Catch(ctx context.Context, load *stage.Load, b Bad) (Caught, error) {
	got := Caught{Fault: b.Fault, Gate: b.Gate, Back: -1}
	flag, err := t.Variant(strings.ReplaceAll("gate-"+b.Gate+"-"+b.Fault, " ", "-"), b.Edits...)
	if err != nil {
		return got, err
	}
	before, err := t.Record(ctx)
	if err != nil {
		return got, err
	}
	bad := t.next(before)
	if b.Fault != "" {
		if bad, err = t.version(ctx, b.Fault, "FAULT="+b.Fault); err != nil {
			return got, err
		}
	}
	begun := time.Now()
	p, err := t.Deploy(ctx, bad, flag)
	if err != nil {
		return got, err
	}
	call, err := ended(p)
	if err != nil {
		return got, err
	}
	rec, wrong := t.settled(ctx)
	if rec == nil {
		return got, wrong
	}
	got.look(rec)
	got.object(wrong, b.caught(call, rec), t.traceless(ctx, rec))

	// Until they have ended, its pods answer on the connections that they have.
	if err := t.AwaitPods(ctx, func(pods []*corev1.Pod) bool {
		return !slices.ContainsFunc(pods, func(p *corev1.Pod) bool { return p.Labels[release.LabelRelease] == rec.Release.ID })
	}); err != nil {
		return got, err
	}
	after := time.Now().Add(time.Second)
	if err := load.Past(ctx, after.Add(time.Second)); err != nil {
		return got, err
	}
	got.Failed = load.Since(begun).Failed
	for version, n := range load.Since(after).Versions {
		if version != before.ServingRelease().Version {
			got.object(fmt.Errorf("afterwards %d requests were answered by version %s", n, version))
		}
	}
	if rec.SwitchedBack == nil && got.Failed > 0 {
		got.object(fmt.Errorf("%d requests failed, though it never had users", got.Failed))
	}
	users := "it never had users"
	if rec.SwitchedBack != nil {
		users = fmt.Sprintf("%.1f s on bad, %.1f s to come back, %d requests failed", got.OnBad, got.Back, got.Failed)
	}
	t.Say("%s: ended in %s, for the gate %q; %s", bad.Name, got.Step, got.Gate, users)
	return got, nil
}

// look takes from the record where it was caught and how long that took.
func (c *Caught) look(rec *release.Record) {
	for _, s := range rec.Steps {
		if s.Error == "" {
			continue
		}
		c.Step = s.Name
		if rec.SwitchedBack != nil && s.Ended != nil {
			c.Back = rec.SwitchedBack.Sub(*s.Ended).Seconds()
		}
	}
	if onBad, had := rec.OnBad(); had {
		c.OnBad = onBad.Seconds()
	}
}

func (c *Caught) object(errs ...error) {
	for _, err := range errs {
		if err != nil {
			c.Wrong = append(c.Wrong, err.Error())
		}
	}
}

// caught says whether it was caught where and by what it has to be.
func (b Bad) caught(call stage.Call, rec *release.Record) error {
	for _, name := range b.Steps {
		if s := rec.Step(name); s.Error != "" && strings.Contains(s.Error, b.Says) && call.Code == int(outcome.RolledBack) && rec.Outcome == release.RolledBack {
			return nil
		}
	}
	return fmt.Errorf("the deploy ended with %d (%s), and not in %v with %q: %s", call.Code, rec.Outcome, b.Steps, b.Says, lastWords(call))
}

// traceless checks that nothing of a release that was taken back is left.
func (t *Trial) traceless(ctx context.Context, rec *release.Record) error {
	name := stage.Names.Config(rec.Release.ID)
	_, config := t.Client.CoreV1().ConfigMaps(t.Namespace).Get(ctx, name, metav1.GetOptions{})
	_, secret := t.Client.CoreV1().Secrets(t.Namespace).Get(ctx, name, metav1.GetOptions{})
	if !apierrors.IsNotFound(config) || !apierrors.IsNotFound(secret) {
		return fmt.Errorf("the ConfigMap or the Secret %s is there still (%v, %v)", name, config, secret)
	}
	jobs, err := t.Client.BatchV1().Jobs(t.Namespace).List(ctx, metav1.ListOptions{})
	if err == nil && len(jobs.Items) > 0 {
		err = fmt.Errorf("the Job %s is there still", jobs.Items[0].Name)
	}
	return err
}

// CatchAll deploys bad releases one after the other, and at last a good one.
func (t *Trial) CatchAll(ctx context.Context, all []Bad) (list []Caught, err error) {
	load, err := t.StartLoad(ctx, t.good[0].Bundle, stage.Traffic{Name: "load-gates", Rate: killRate, Read: "/notes?limit=5", Write: "/notes", AtMost: 24 * time.Hour})
	if err != nil {
		return nil, err
	}
	defer func() {
		_, _, stopErr := load.Stop(context.WithoutCancel(ctx))
		err = errors.Join(err, stopErr)
	}()
	for _, b := range all {
		got, err := t.Catch(ctx, load, b)
		list = append(list, got)
		if err != nil {
			return list, err
		}
	}
	rec, err := t.Record(ctx)
	if err != nil {
		return list, err
	}
	_, err = t.take(ctx, t.next(rec))
	return list, err
}

// Err returns everything that was not as it has to be.
func (c Caught) Err() error {
	var wrong []error
	for _, w := range c.Wrong {
		wrong = append(wrong, fmt.Errorf("%s, %s: %s", c.Gate, c.Fault, w))
	}
	return errors.Join(wrong...)
}

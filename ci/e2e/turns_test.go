//go:build e2e

package e2e

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"cutover.dev/ci/e2e/stage"
	"cutover.dev/ci/outcome"
	"cutover.dev/ci/release"
)

// turns is a stage with two published versions, for deploys by cutover's own
// program.
type turns struct {
	*stage.Stage
	t        *testing.T
	one, two stage.Version
}

// Who may deploy what, and when: one namespace is enough for all of it.
func TestDeploysTakeTurns(t *testing.T) {
	t.Parallel()
	s := turns{Stage: newStage(t, "notes-e2e-turns"), t: t}
	require.NoError(t, s.Build(t.Context()))
	var err error
	s.one, err = s.Publish(t.Context(), "1")
	require.NoError(t, err)
	s.two, err = s.Publish(t.Context(), "2")
	require.NoError(t, err)

	for _, part := range []struct {
		name string
		run  func(turns)
	}{
		{"of two that are started together exactly one acts", turns.together},
		{"an older commit is refused without a reason", turns.order},
		{"a rollback brings back what served before", turns.back},
		{"two applications in one namespace never touch each other's objects", turns.neighbours},
		{"what grows before the switch is matched", turns.grow},
		{"a version that loses requests when a pod ends never serves", turns.abrupt},
	} {
		if !t.Run(part.name, func(t *testing.T) {
			mine := s
			mine.t = t
			part.run(mine)
		}) {
			return // what comes after it builds on it
		}
	}
}

func (s turns) start(v stage.Version, more ...string) *stage.Process {
	p, err := s.Deploy(s.t.Context(), v, more...)
	require.NoError(s.t, err)
	return p
}

func (s turns) end(p *stage.Process) stage.Call {
	c, err := p.Wait()
	require.NoError(s.t, err)
	s.t.Logf("exit code %d after %.1f s\n%s", c.Code, c.Took.Seconds(), c.Stdout)
	return c
}

func (s turns) together() {
	first, second := s.start(s.one, "--by=ann"), s.start(s.one, "--by=bob")
	calls := []stage.Call{s.end(first), s.end(second)}
	codes := []int{calls[0].Code, calls[1].Code}
	require.ElementsMatch(s.t, []int{int(outcome.Done), int(outcome.Refused)}, codes)
	for i, c := range calls {
		if c.Code == int(outcome.Refused) {
			assert.Contains(s.t, c.Stderr, []string{"bob run ", "ann run "}[i], "the one that acts is named")
			assert.Contains(s.t, c.Stderr, "next: dagger call status --env=dev")
		}
	}
	serves(s.t, s.Stage, "1")
	require.Equal(s.t, 1, record(s.t, s.Stage).Number)
}

func (s turns) order() {
	newer := []string{"--commit=bbbbbbbbbbbb", "--committed=2026-02-01T10:00:00Z"}
	older := []string{"--commit=aaaaaaaaaaaa", "--committed=2026-02-01T09:00:00Z"}
	require.Zero(s.t, s.end(s.start(s.two, newer...)).Code)
	refused := s.end(s.start(s.one, older...))
	require.Equal(s.t, int(outcome.Refused), refused.Code)
	assert.Contains(s.t, refused.Stderr, "an older commit than what serves, by committer time")
	assert.Contains(s.t, refused.Stderr, `--allow-older="why"`)
	serves(s.t, s.Stage, "2")
	require.Zero(s.t, s.end(s.start(s.one, append(older, "--allow-older=2 is withdrawn")...)).Code)
	serves(s.t, s.Stage, "1")
	assert.Equal(s.t, "2 is withdrawn", record(s.t, s.Stage).Reasons["allow-older"])
}

func (s turns) back() {
	c := call(s.t, s.Stage, append([]string{"rollback", "--env=dev", "--by=on call"}, s.Cluster()...)...)
	require.Zero(s.t, c.Code)
	serves(s.t, s.Stage, "2")
	rec := record(s.t, s.Stage)
	assert.Equal(s.t, release.Rollback, rec.Kind)
	assert.Equal(s.t, "r2", rec.Release.ID, "the release itself")
	history := call(s.t, s.Stage, append([]string{"history", "--env=dev"}, s.Cluster()...)...)
	require.Zero(s.t, history.Code)
	assert.Regexp(s.t, `rollback +r2 +2 +succeeded .*on call`, history.Stdout)
}

func (s turns) neighbours() {
	other, err := s.Variant("other", stage.Edit{From: "app: notes", To: "app: notes-too"})
	require.NoError(s.t, err)
	before := s.owned("notes-too")
	require.Empty(s.t, before)
	mine, theirs := s.start(s.one), s.start(s.two, other)
	require.Zero(s.t, s.end(mine).Code)
	require.Zero(s.t, s.end(theirs).Code)
	serves(s.t, s.Stage, "1")
	for app, version := range map[string]string{"notes": "1", "notes-too": "2"} {
		pods := s.owned(app)
		require.Len(s.t, pods, 2, app)
		for _, p := range pods {
			v := map[string]stage.Version{"1": s.one, "2": s.two}[version]
			assert.Equal(s.t, v.Image, p.Spec.Containers[0].Image, p.Name)
			assert.Equal(s.t, app, p.Labels[release.LabelServes], p.Name)
		}
	}
}

// owned are the pods that serve for an application.
func (s turns) owned(app string) []corev1.Pod {
	list, err := s.Client.CoreV1().Pods(s.Namespace).List(s.t.Context(), metav1.ListOptions{LabelSelector: release.LabelServes + "=" + app})
	require.NoError(s.t, err)
	return list.Items
}

// A real HorizontalPodAutoscaler holds what is pinned; the load itself is played
// by a write of the size, since there are no metrics to scale by here.
func (s turns) grow() {
	scaled, err := s.Variant("scaled", stage.Edit{From: "replicas: 2 ", To: "autoscale: {min: 2, max: 6, cpu: 80}\nreplicas: 2 "})
	require.NoError(s.t, err)
	require.Zero(s.t, s.end(s.start(s.two, scaled)).Code)
	live := record(s.t, s.Stage)
	p := s.start(s.one, scaled)
	require.NoError(s.t, s.AwaitRecord(s.t.Context(), func(rec *release.Record) bool {
		return rec.Number > live.Number && rec.Step("raise").State == release.Done
	}))
	_, err = s.Client.AppsV1().Deployments(s.Namespace).UpdateScale(s.t.Context(), release.Names{App: "notes"}.Deployment(live.Serving),
		&autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: release.Names{App: "notes"}.Deployment(live.Serving), Namespace: s.Namespace}, Spec: autoscalingv1.ScaleSpec{Replicas: 4}},
		metav1.UpdateOptions{})
	require.NoError(s.t, err)
	require.Zero(s.t, s.end(p).Code)
	serves(s.t, s.Stage, "1")
	rec := record(s.t, s.Stage)
	assert.Equal(s.t, 4, rec.Replicas)
	assert.Equal(s.t, 2, rec.Pinned)
	assert.GreaterOrEqual(s.t, len(s.owned("notes")), 4)
	scaler, err := s.Client.AutoscalingV2().HorizontalPodAutoscalers(s.Namespace).Get(s.t.Context(), release.Names{App: "notes"}.Deployment(rec.Serving), metav1.GetOptions{})
	require.NoError(s.t, err)
	assert.Equal(s.t, int32(2), *scaler.Spec.MinReplicas, "the pin is off")
}

func (s turns) abrupt() {
	bad, err := s.Publish(s.t.Context(), "3", "FAULT=abrupt")
	require.NoError(s.t, err)
	drained, err := s.Variant("drained", stage.Edit{From: "drain: false", To: "drain: true"}, stage.Edit{From: "sleep: 3s", To: "sleep: 0s"},
		stage.Edit{From: "rate: 20 ", To: "rate: 200 "})
	require.NoError(s.t, err)
	live := record(s.t, s.Stage)
	c := s.end(s.start(bad, drained))
	require.Equal(s.t, int(outcome.RolledBack), c.Code)
	assert.Contains(s.t, c.Stderr, "drain test: while pod notes-")
	assert.Contains(s.t, c.Stderr, "requests were lost")
	assert.Equal(s.t, live.Serving, record(s.t, s.Stage).Serving)
	serves(s.t, s.Stage, "1")
}

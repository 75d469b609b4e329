package plan

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"cutover.dev/ci/config"
	"cutover.dev/ci/release"
)

// atWork is the record of a run that takes a release from blue to green.
func atWork() *release.Record {
	r := made()
	return &release.Record{
		Run: "RUN", Namespace: r.Env.Namespace, Release: r, Colour: release.Green,
		Previous: &release.Release{ID: "r5"}, PreviousColour: release.Blue, Replicas: 3,
	}
}

func TestTheAgentLooksProbesAndGuardsAndEndsByItself(t *testing.T) {
	rec := atWork()
	rec.Release.Env.Probe = config.Probe{
		Rate: 50, Read: "/notes?limit=1", Write: &config.ProbeWrite{Post: "/notes", Body: `{"title": "{n}"}`}, Slow: "/report",
		Timeout: 3 * time.Second, VersionHeader: "Notes-Version", Samples: 20, Tolerate: 2,
	}
	pod := AgentPod(rec, 90*time.Second)
	require.Equal(t, int64(90), *pod.Spec.ActiveDeadlineSeconds)
	require.Equal(t, []string{
		"agent", "watch", "--run=RUN",
		"--target=preview=http://notes-preview/version", "--probe=preview=http://notes-preview",
		"--target=live=http://notes/version", "--probe=live=http://notes",
		"--rate=50", "--read=/notes?limit=1", "--write=/notes", `--body={"title": "{n}"}`, "--slow=/report", "--timeout=3s", "--version-header=Notes-Version",
		"--guard", "--namespace=notes-prod", "--app=notes", "--colour=green", "--tolerate=2", "--previous=blue",
	}, pod.Spec.Containers[0].Args)
	require.Empty(t, pod.Spec.Containers[0].EnvFrom, "it needs no secret")
	require.NotContains(t, pod.Labels, release.LabelServes, "it must never be sent a user's request")
}

func TestWhatIsNotConfiguredIsLeftToTheProbersDefaults(t *testing.T) {
	rec := atWork()
	rec.Release.Env.Probe = config.Probe{} // as in a record that an older cutover made
	require.Equal(t, []string{
		"agent", "watch", "--run=RUN",
		"--target=preview=http://notes-preview/version", "--probe=preview=http://notes-preview",
		"--target=live=http://notes/version", "--probe=live=http://notes",
		"--guard", "--namespace=notes-prod", "--app=notes", "--colour=green", "--tolerate=0", "--previous=blue",
	}, AgentPod(rec, time.Minute).Spec.Containers[0].Args)
}

func TestPrometheusIsAskedAboutTheNewVersion(t *testing.T) {
	rec := atWork()
	rec.Release.Env.Metrics = &config.Metrics{Prometheus: "http://prometheus:9090"}
	rec.Release.Env.Bake = config.Bake{Interval: time.Minute, Queries: map[string]config.Query{
		"b": {PromQL: `up{pod=~"${app}-${colour}-.*$",ns="${namespace}"}`}, "a": {PromQL: `info{release="${release}",version="${version}"}`},
	}}
	args := AgentPod(rec, time.Minute).Spec.Containers[0].Args
	r := rec.Release
	require.Subset(t, args, []string{"--prometheus=http://prometheus:9090", "--interval=1m0s",
		`--query=a=info{release="` + r.ID + `",version="` + r.Version + `"}`, `--query=b=up{pod=~"notes-green-.*$$",ns="notes-prod"}`})
}

func TestOnAFirstReleaseTheGuardKnowsNoWayBack(t *testing.T) {
	rec := atWork()
	rec.Previous, rec.PreviousColour = nil, release.None
	for _, arg := range AgentPod(rec, time.Minute).Spec.Containers[0].Args {
		require.False(t, strings.HasPrefix(arg, "--previous"), arg)
	}
}

func TestABodyIsNotReadAsAVariableOfThePod(t *testing.T) {
	rec := atWork()
	rec.Release.Env.Probe.Write = &config.ProbeWrite{Post: "/notes", Body: "$(PORT) costs 5$"}
	require.Contains(t, AgentPod(rec, time.Minute).Spec.Containers[0].Args, "--body=$$(PORT) costs 5$$")
}

func TestTheAgentIsStartedAgainWithItsRightsAndNoOthers(t *testing.T) {
	spec := AgentPod(atWork(), time.Minute).Spec
	require.Equal(t, corev1.RestartPolicyOnFailure, spec.RestartPolicy)
	require.Equal(t, "notes-cutover-agent", spec.ServiceAccountName)
	require.True(t, *spec.AutomountServiceAccountToken)
	require.False(t, *AgentAccount(atWork()).AutomountServiceAccountToken, "no other pod gets its token unasked")
	require.False(t, *MigrateJob(&release.Record{Release: made()}).Spec.Template.Spec.AutomountServiceAccountToken)
	require.Empty(t, MigrateJob(&release.Record{Release: made()}).Spec.Template.Spec.ServiceAccountName)

	c := spec.Containers[0].SecurityContext
	require.True(t, *c.RunAsNonRoot)
	require.True(t, *c.ReadOnlyRootFilesystem)
	require.False(t, *c.AllowPrivilegeEscalation)
	require.Equal(t, []corev1.Capability{"ALL"}, c.Capabilities.Drop)
}

func TestTheAgentMayDoThisAndNothingElse(t *testing.T) {
	require.Equal(t, []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"services"}, ResourceNames: []string{"notes"}, Verbs: []string{"get", "patch"}},
		{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, ResourceNames: []string{"notes-cutover"}, Verbs: []string{"get", "update"}},
		{APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{"notes-cutover-guard"}, Verbs: []string{"get", "update"}},
		{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list"}},
	}, AgentRole(atWork()).Rules)

	binding := AgentRoleBinding(atWork())
	require.Equal(t, rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "Role", Name: "notes-cutover-agent"}, binding.RoleRef)
	require.Equal(t, []rbacv1.Subject{{Kind: "ServiceAccount", Name: "notes-cutover-agent", Namespace: "notes-prod"}}, binding.Subjects)
}

func TestTheAgentsRightsOutliveTheRelease(t *testing.T) {
	rec := atWork()
	require.Equal(t, "notes-cutover-guard", GuardConfigMap(rec).Name)
	for _, o := range []metav1.Object{AgentAccount(rec), AgentRole(rec), AgentRoleBinding(rec), GuardConfigMap(rec)} {
		require.Equal(t, "notes-prod", o.GetNamespace())
		require.Equal(t, map[string]string{
			"cutover.dev/app": "notes", "app.kubernetes.io/managed-by": "cutover", "cutover.dev/role": "agent",
		}, o.GetLabels(), o.GetName())
	}
	require.Empty(t, GuardConfigMap(rec).Data)
	require.Nil(t, GuardConfigMap(rec).Immutable)
}

func TestTheLongestNameOfAnApplicationStillGivesNamesForTheAgent(t *testing.T) {
	rec := atWork()
	rec.Release.Env.App = "a" + strings.Repeat("b", 39)
	for _, o := range []metav1.Object{
		AgentPod(rec, time.Minute), AgentAccount(rec), AgentRole(rec), AgentRoleBinding(rec), GuardConfigMap(rec),
	} {
		require.Empty(t, validation.IsDNS1123Label(o.GetName()), o.GetName())
	}
}

package plan

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"cutover.dev/ci/release"
)

func made() release.Release {
	r := candidate(offer())
	r.ID = "r7"
	return r
}

func TestOnlyColourPodsAreSelected(t *testing.T) {
	d := Deployment(made(), release.Green, 3)
	require.Equal(t, "notes-green", d.Name)
	require.Equal(t, "notes-prod", d.Namespace)
	require.Equal(t, int32(3), *d.Spec.Replicas)
	require.Equal(t, map[string]string{"cutover.dev/serves": "notes", "cutover.dev/colour": "green"}, d.Spec.Selector.MatchLabels)
	require.Equal(t, map[string]string{
		"cutover.dev/app": "notes", "app.kubernetes.io/managed-by": "cutover",
		"cutover.dev/release": "r7", "cutover.dev/serves": "notes", "cutover.dev/colour": "green",
	}, d.Spec.Template.Labels)
	require.Equal(t, d.Spec.Selector.MatchLabels, LiveService(made(), release.Green).Spec.Selector)
	for name, labels := range map[string]map[string]string{
		"agent": AgentPod(made(), time.Minute).Labels, "Job": MigrateJob(made()).Spec.Template.Labels,
	} {
		require.NotContains(t, labels, release.LabelServes, "the %s must never be sent a user's request", name)
	}
}

func TestAPodServesUntilEveryNodeKnowsThatItGoes(t *testing.T) {
	spec := Deployment(made(), release.Blue, 3).Spec.Template.Spec
	require.Equal(t, int64(5), spec.Containers[0].Lifecycle.PreStop.Sleep.Seconds)
	require.Equal(t, int64(45), *spec.TerminationGracePeriodSeconds)
}

func TestNoPodGoesBeforeItsSuccessorIsReady(t *testing.T) {
	update := Deployment(made(), release.Blue, 3).Spec.Strategy.RollingUpdate
	require.Equal(t, intstr.FromInt32(0), *update.MaxUnavailable)
}

func TestProbesAskThePathsOfTheConfiguration(t *testing.T) {
	c := Deployment(made(), release.Blue, 3).Spec.Template.Spec.Containers[0]
	require.Equal(t, "/readyz", c.ReadinessProbe.HTTPGet.Path)
	require.Equal(t, "/livez", c.LivenessProbe.HTTPGet.Path)
	require.Equal(t, "/livez", c.StartupProbe.HTTPGet.Path)
	require.Equal(t, int32(300), c.StartupProbe.PeriodSeconds*c.StartupProbe.FailureThreshold, "a start may take as long as raise.timeout")
	for _, p := range []*corev1.Probe{c.ReadinessProbe, c.LivenessProbe, c.StartupProbe} {
		require.Equal(t, intstr.FromString(c.Ports[0].Name), p.HTTPGet.Port)
	}
	require.Equal(t, int32(8080), c.Ports[0].ContainerPort)
}

func TestPodsGetTheReleasesConfigurationAndSecretsByName(t *testing.T) {
	c := Deployment(made(), release.Blue, 3).Spec.Template.Spec.Containers[0]
	require.Equal(t, image("a"), c.Image)
	require.Equal(t, "notes-r7", c.EnvFrom[0].ConfigMapRef.Name)
	require.Equal(t, "notes-r7", c.EnvFrom[1].SecretRef.Name)
	require.Contains(t, c.Env, corev1.EnvVar{Name: "CUTOVER_RELEASE", Value: "r7"})
	require.Contains(t, c.Env, corev1.EnvVar{Name: "PORT", Value: "8080"})
	require.Equal(t, "50m", c.Resources.Requests.Cpu().String())
	require.Equal(t, "128Mi", c.Resources.Limits.Memory().String())

	r := made()
	r.Env.Secrets.Required = nil
	require.Len(t, Deployment(r, release.Blue, 3).Spec.Template.Spec.Containers[0].EnvFrom, 1)
	require.Nil(t, Secret(r, nil))
}

func TestConfigurationIsImmutable(t *testing.T) {
	require.True(t, *Config(made()).Immutable)
	require.Equal(t, map[string]string{"LOG_LEVEL": "info"}, Config(made()).Data)
	secret := Secret(made(), offer().Secrets)
	require.True(t, *secret.Immutable)
	require.Equal(t, secretValue, string(secret.Data["DATABASE_URL"]))
}

func TestSecretsStandInTheSecretOnly(t *testing.T) {
	for _, o := range []any{
		Deployment(made(), release.Blue, 3), Config(made()), LiveService(made(), release.Blue), PreviewService(made(), release.Blue),
		MigrateJob(made()), AgentPod(made(), time.Minute), made(),
	} {
		data, err := json.Marshal(o)
		require.NoError(t, err)
		require.NotContains(t, string(data), "correct-horse", "%T", o)
	}
}

func TestTheServicesOutliveTheReleaseThatMadeThem(t *testing.T) {
	for _, s := range []*corev1.Service{LiveService(made(), release.Blue), PreviewService(made(), release.Blue)} {
		require.NotContains(t, s.Labels, release.LabelRelease)
		require.Equal(t, int32(80), s.Spec.Ports[0].Port)
		require.Equal(t, intstr.FromString("http"), s.Spec.Ports[0].TargetPort)
	}
}

func TestAFailedMigrationIsNotRepeated(t *testing.T) {
	job := MigrateJob(made())
	require.Zero(t, *job.Spec.BackoffLimit)
	require.Equal(t, int64(660), *job.Spec.ActiveDeadlineSeconds, "after the migration's own limit")
	spec := job.Spec.Template.Spec
	require.Equal(t, image("b"), spec.Containers[0].Image)
	require.Equal(t, []string{"agent", "migrate", "--dsn-env=DATABASE_URL", "--timeout=10m0s"}, spec.Containers[0].Args)
	require.Equal(t, "notes-r7", spec.Containers[0].EnvFrom[1].SecretRef.Name)
}

func TestTheAgentLooksAtBothServicesAndEndsByItself(t *testing.T) {
	pod := AgentPod(made(), 90*time.Second)
	require.Equal(t, int64(90), *pod.Spec.ActiveDeadlineSeconds)
	require.Equal(t, []string{"agent", "watch", "--target=preview=http://notes-preview/version", "--target=live=http://notes/version"}, pod.Spec.Containers[0].Args)
	require.Empty(t, pod.Spec.Containers[0].EnvFrom, "it needs no secret")
}

func TestHelpersHaveNoRights(t *testing.T) {
	for _, spec := range []corev1.PodSpec{AgentPod(made(), time.Minute).Spec, MigrateJob(made()).Spec.Template.Spec} {
		require.False(t, *spec.AutomountServiceAccountToken)
		c := spec.Containers[0].SecurityContext
		require.True(t, *c.RunAsNonRoot)
		require.True(t, *c.ReadOnlyRootFilesystem)
		require.False(t, *c.AllowPrivilegeEscalation)
		require.Equal(t, []corev1.Capability{"ALL"}, c.Capabilities.Drop)
	}
}

func TestEveryPodPullsWithThePullSecret(t *testing.T) {
	r := made()
	r.Env.Image.PullSecret = "login"
	for _, spec := range []corev1.PodSpec{
		Deployment(r, release.Blue, 1).Spec.Template.Spec, AgentPod(r, time.Minute).Spec, MigrateJob(r).Spec.Template.Spec,
	} {
		require.Equal(t, []corev1.LocalObjectReference{{Name: "login"}}, spec.ImagePullSecrets)
	}
}

func TestTheLongestNameOfAnApplicationStillGivesNames(t *testing.T) {
	r := made()
	r.Env.App = "a" + strings.Repeat("b", 39)
	r.ID = "r123456"
	names := release.Names{App: r.Env.App}
	for _, m := range []metav1.Object{
		Deployment(r, release.Green, 1), Config(r), Secret(r, nil), LiveService(r, release.Blue), PreviewService(r, release.Blue),
		MigrateJob(r), AgentPod(r, time.Minute),
		&metav1.ObjectMeta{Name: names.Head()}, &metav1.ObjectMeta{Name: names.Archive(123456)},
	} {
		require.Empty(t, validation.IsDNS1123Label(m.GetName()), m.GetName())
		for _, v := range m.GetLabels() {
			require.Empty(t, validation.IsValidLabelValue(v), v)
		}
	}
}

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

	"cutover.dev/ci/config"
	"cutover.dev/ci/release"
)

func made() release.Release {
	r := candidate(offer())
	r.ID = "r7"
	return r
}

func TestOnlyColourPodsAreSelected(t *testing.T) {
	d := Deployment(made(), release.Green)
	require.Equal(t, "notes-green", d.Name)
	require.Equal(t, "notes-prod", d.Namespace)
	require.Nil(t, d.Spec.Replicas, "the size is set apart")
	require.Equal(t, map[string]string{"cutover.dev/serves": "notes", "cutover.dev/colour": "green"}, d.Spec.Selector.MatchLabels)
	require.Equal(t, map[string]string{
		"cutover.dev/app": "notes", "app.kubernetes.io/managed-by": "cutover",
		"cutover.dev/release": "r7", "cutover.dev/serves": "notes", "cutover.dev/colour": "green",
	}, d.Spec.Template.Labels)
	require.Equal(t, d.Spec.Selector.MatchLabels, LiveService(made(), release.Green).Spec.Selector)
	require.NotContains(t, MigrateJob(&release.Record{Release: made()}).Spec.Template.Labels, release.LabelServes, "it must never be sent a user's request")
}

func TestAPodServesUntilEveryNodeKnowsThatItGoes(t *testing.T) {
	spec := Deployment(made(), release.Blue).Spec.Template.Spec
	require.Equal(t, int64(5), spec.Containers[0].Lifecycle.PreStop.Sleep.Seconds)
	require.Equal(t, int64(45), *spec.TerminationGracePeriodSeconds)
}

func TestNoPodGoesBeforeItsSuccessorIsReady(t *testing.T) {
	update := Deployment(made(), release.Blue).Spec.Strategy.RollingUpdate
	require.Equal(t, intstr.FromInt32(0), *update.MaxUnavailable)
}

func TestProbesAskThePathsOfTheConfiguration(t *testing.T) {
	c := Deployment(made(), release.Blue).Spec.Template.Spec.Containers[0]
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
	c := Deployment(made(), release.Blue).Spec.Template.Spec.Containers[0]
	require.Equal(t, image("a"), c.Image)
	require.Equal(t, "notes-r7", c.EnvFrom[0].ConfigMapRef.Name)
	require.Equal(t, "notes-r7", c.EnvFrom[1].SecretRef.Name)
	require.Contains(t, c.Env, corev1.EnvVar{Name: "CUTOVER_RELEASE", Value: "r7"})
	require.Contains(t, c.Env, corev1.EnvVar{Name: "PORT", Value: "8080"})
	require.Equal(t, "50m", c.Resources.Requests.Cpu().String())
	require.Equal(t, "128Mi", c.Resources.Limits.Memory().String())

	r := made()
	r.Env.Secrets.Required = nil
	require.Len(t, Deployment(r, release.Blue).Spec.Template.Spec.Containers[0].EnvFrom, 1)
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
		Deployment(made(), release.Blue), Config(made()), LiveService(made(), release.Blue), PreviewService(made(), release.Blue),
		MigrateJob(&release.Record{Release: made()}), AgentPod(atWork(), time.Minute), made(),
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
	job := MigrateJob(&release.Record{Release: made()})
	require.Zero(t, *job.Spec.BackoffLimit)
	require.Equal(t, int64(660), *job.Spec.ActiveDeadlineSeconds, "after the migration's own limit")
	spec := job.Spec.Template.Spec
	require.Equal(t, image("b"), spec.Containers[0].Image)
	require.Equal(t, []string{"agent", "migrate", "--dsn-env=DATABASE_URL", "--folder=sql", "--release=" + made().ID, "--timeout=10m0s"}, spec.Containers[0].Args)
	require.Equal(t, "notes-r7", spec.Containers[0].EnvFrom[1].SecretRef.Name)
}

func TestSmokeTestsComeFromTheBundleAndAreRunAgainOnlyWhereDeclared(t *testing.T) {
	rec := atWork()
	rec.Release.Env.Smoke = &config.Smoke{Package: "./smoke", Timeout: 2 * time.Minute}
	job := SmokeJob(rec, "preview", "notes-preview")
	require.Zero(t, *job.Spec.BackoffLimit)
	require.Equal(t, int64(135), *job.Spec.ActiveDeadlineSeconds, "after the tests' own limit")
	c := job.Spec.Template.Spec.Containers[0]
	require.Equal(t, rec.Release.Bundle, c.Image)
	require.Equal(t, []string{"/smoke/smoke.test", "-test.v", "-test.timeout=2m0s"}, c.Command)
	require.Equal(t, []corev1.EnvVar{{Name: "BASE_URL", Value: "http://notes-preview"}, {Name: "EXPECT_VERSION", Value: rec.Release.Version}}, c.Env)
	require.Empty(t, c.EnvFrom, "they ask as a user does, who knows no secret")
	require.NotContains(t, job.Spec.Template.Labels, release.LabelServes)

	rec.Release.Env.Smoke = &config.Smoke{Image: "k6:1", Command: []string{"k6", "run"}, Timeout: time.Minute, Retries: 2}
	job = SmokeJob(rec, "live", "notes")
	require.Equal(t, int32(2), *job.Spec.BackoffLimit)
	c = job.Spec.Template.Spec.Containers[0]
	require.Equal(t, "k6:1", c.Image)
	require.Equal(t, []string{"k6", "run"}, c.Command)
	require.Empty(t, c.Args)
	require.False(t, *c.SecurityContext.AllowPrivilegeEscalation)
}

func TestHelpersHaveNoRightsInTheirContainers(t *testing.T) {
	require.False(t, *MigrateJob(&release.Record{Release: made()}).Spec.Template.Spec.AutomountServiceAccountToken)
	for _, spec := range []corev1.PodSpec{AgentPod(atWork(), time.Minute).Spec, MigrateJob(&release.Record{Release: made()}).Spec.Template.Spec} {
		c := spec.Containers[0].SecurityContext
		require.True(t, *c.RunAsNonRoot)
		require.True(t, *c.ReadOnlyRootFilesystem)
		require.False(t, *c.AllowPrivilegeEscalation)
		require.Equal(t, []corev1.Capability{"ALL"}, c.Capabilities.Drop)
		require.Equal(t, corev1.SeccompProfileTypeRuntimeDefault, c.SeccompProfile.Type)
	}
}

func TestEveryPodPullsWithThePullSecret(t *testing.T) {
	rec := atWork()
	rec.Release.Env.Image.PullSecret = "login"
	r := rec.Release
	for _, spec := range []corev1.PodSpec{
		Deployment(r, release.Blue).Spec.Template.Spec, AgentPod(rec, time.Minute).Spec, MigrateJob(&release.Record{Release: r}).Spec.Template.Spec,
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
		Deployment(r, release.Green), Config(r), Secret(r, nil), LiveService(r, release.Blue), PreviewService(r, release.Blue),
		MigrateJob(&release.Record{Release: r}), DisruptionBudget(r, release.Green),
		&metav1.ObjectMeta{Name: names.Head()}, &metav1.ObjectMeta{Name: names.Archive(123456)}, &metav1.ObjectMeta{Name: names.Series(123456)}, &metav1.ObjectMeta{Name: names.Guard()},
	} {
		require.Empty(t, validation.IsDNS1123Label(m.GetName()), m.GetName())
		for _, v := range m.GetLabels() {
			require.Empty(t, validation.IsValidLabelValue(v), v)
		}
	}
}

func TestAnAutoscalerNeverHasAMaximumBelowItsPinnedMinimum(t *testing.T) {
	require.Nil(t, Autoscaler(made(), release.Blue, 3), "none is configured")
	r := made()
	r.Env.Autoscale = &config.Autoscale{Min: 2, Max: 6, CPU: 70}
	for least, most := range map[int]int32{2: 6, 6: 6, 9: 9} {
		h := Autoscaler(r, release.Green, least)
		require.Equal(t, "notes-green", h.Spec.ScaleTargetRef.Name)
		require.Equal(t, int32(least), *h.Spec.MinReplicas)
		require.Equal(t, most, h.Spec.MaxReplicas)
		require.Equal(t, int32(70), *h.Spec.Metrics[0].Resource.Target.AverageUtilization)
	}
}

func TestADisruptionBudgetLetsOnePodGoAtATime(t *testing.T) {
	b := DisruptionBudget(made(), release.Green)
	require.Equal(t, intstr.FromInt32(1), *b.Spec.MaxUnavailable)
	require.Equal(t, Deployment(made(), release.Green).Spec.Selector, b.Spec.Selector)
}

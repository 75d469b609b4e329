package plan

import (
	"fmt"
	"maps"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"cutover.dev/ci/config"
	"cutover.dev/ci/release"
)

// budget is how many pods of a colour may be evicted at once, such as for a
// node's maintenance. One, also of one: a budget that forbids every eviction
// would hold up the node for ever.
const budget = 1

// container is the name of the application's container in every pod.
const container = "app"

// Deployment returns the Deployment of the release on a colour. It says nothing
// of the number of pods: that is set apart from it, so that applying it never
// undoes what an autoscaler or a person decided.
func Deployment(r release.Release, c release.Colour) *appsv1.Deployment {
	names := release.Names{App: r.Env.App}
	d := &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: meta(r, names.Deployment(c)),
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: names.Selector(c)},
			// The colour is idle when this is applied; should its pods ever be replaced
			// while it serves (a node is drained, a hand edits it), none goes before its
			// successor is ready.
			Strategy: appsv1.DeploymentStrategy{
				Type: appsv1.RollingUpdateDeploymentStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDeployment{
					MaxUnavailable: new(intstr.FromInt32(0)),
					MaxSurge:       new(intstr.FromString("100%")),
				},
			},
			RevisionHistoryLimit:    new(int32(2)),
			ProgressDeadlineSeconds: new(seconds32(r.Env.Raise.Timeout)),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: podLabels(r, c)},
				Spec:       podSpec(r),
			},
		},
	}
	d.Labels[release.LabelColour] = string(c)
	return d
}

// Autoscaler returns the HorizontalPodAutoscaler of a colour with a minimum of
// least pods, nil when the release has none.
func Autoscaler(r release.Release, c release.Colour, least int) *autoscalingv2.HorizontalPodAutoscaler {
	a := r.Env.Autoscale
	if a == nil {
		return nil
	}
	name := release.Names{App: r.Env.App}.Deployment(c)
	h := &autoscalingv2.HorizontalPodAutoscaler{
		TypeMeta:   metav1.TypeMeta{APIVersion: "autoscaling/v2", Kind: "HorizontalPodAutoscaler"},
		ObjectMeta: meta(r, name),
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: name},
			MinReplicas:    new(int32(least)),
			MaxReplicas:    int32(max(a.Max, least)),
			Metrics: []autoscalingv2.MetricSpec{{
				Type: autoscalingv2.ResourceMetricSourceType,
				Resource: &autoscalingv2.ResourceMetricSource{
					Name:   corev1.ResourceCPU,
					Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: new(int32(a.CPU))},
				},
			}},
		},
	}
	h.Labels[release.LabelColour] = string(c)
	return h
}

// DisruptionBudget returns the PodDisruptionBudget of a colour.
func DisruptionBudget(r release.Release, c release.Colour) *policyv1.PodDisruptionBudget {
	names := release.Names{App: r.Env.App}
	b := &policyv1.PodDisruptionBudget{
		TypeMeta:   metav1.TypeMeta{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"},
		ObjectMeta: meta(r, names.Deployment(c)),
		Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable: new(intstr.FromInt32(budget)),
			Selector:       &metav1.LabelSelector{MatchLabels: names.Selector(c)},
		},
	}
	b.Labels[release.LabelColour] = string(c)
	return b
}

func podLabels(r release.Release, c release.Colour) map[string]string {
	names := release.Names{App: r.Env.App}
	labels := names.Labels()
	labels[release.LabelRelease] = r.ID
	maps.Copy(labels, names.Selector(c))
	return labels
}

func podSpec(r release.Release) corev1.PodSpec {
	return corev1.PodSpec{
		ImagePullSecrets:              pullSecrets(r.Env),
		TerminationGracePeriodSeconds: new(int64(r.Env.Shutdown.Grace / time.Second)),
		// Service environment variables would grow with the namespace and can shadow
		// the application's own.
		EnableServiceLinks: new(false),
		Containers: []corev1.Container{{
			Name:            container,
			Image:           r.Image,
			ImagePullPolicy: corev1.PullIfNotPresent,
			Ports:           []corev1.ContainerPort{{Name: "http", ContainerPort: int32(r.Env.Port), Protocol: corev1.ProtocolTCP}},
			Env:             releaseEnv(r),
			EnvFrom:         envFrom(r),
			Resources:       resources(r.Env.Resources),
			ReadinessProbe:  probe(r.Env.Health.Ready, 1, 3),
			LivenessProbe:   probe(r.Env.Health.Live, 10, 3),
			// A slow start is bounded by raise.timeout, not by the liveness probe.
			StartupProbe: probe(r.Env.Health.Live, 1, seconds32(r.Env.Raise.Timeout)),
			// Removing a pod from a Service reaches the nodes after its end has begun;
			// until then it has to go on serving.
			Lifecycle: &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{
				Sleep: &corev1.SleepAction{Seconds: int64(r.Env.Shutdown.Sleep / time.Second)},
			}},
		}},
	}
}

func releaseEnv(r release.Release) []corev1.EnvVar {
	return []corev1.EnvVar{{Name: "CUTOVER_RELEASE", Value: r.ID}, {Name: "PORT", Value: fmt.Sprint(r.Env.Port)}}
}

// envFrom hands the release's configuration and secrets to a container.
func envFrom(r release.Release) []corev1.EnvFromSource {
	ref := corev1.LocalObjectReference{Name: release.Names{App: r.Env.App}.Config(r.ID)}
	out := []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: ref}}}
	if len(r.Env.Secrets.Required) > 0 {
		out = append(out, corev1.EnvFromSource{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: ref}})
	}
	return out
}

func probe(path string, every, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:     corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("http"), Scheme: corev1.URISchemeHTTP}},
		PeriodSeconds:    every,
		TimeoutSeconds:   2,
		FailureThreshold: failures,
		SuccessThreshold: 1,
	}
}

func pullSecrets(env config.Env) []corev1.LocalObjectReference {
	if env.Image.PullSecret == "" {
		return nil
	}
	return []corev1.LocalObjectReference{{Name: env.Image.PullSecret}}
}

// resources turns the configuration's quantities, which were checked when it
// was loaded, into Kubernetes' own.
func resources(r config.Resources) corev1.ResourceRequirements {
	list := func(in map[string]string) corev1.ResourceList {
		if len(in) == 0 {
			return nil
		}
		out := corev1.ResourceList{}
		for name, quantity := range in {
			out[corev1.ResourceName(name)] = resource.MustParse(quantity)
		}
		return out
	}
	return corev1.ResourceRequirements{Requests: list(r.Requests), Limits: list(r.Limits)}
}

// Config returns the release's immutable ConfigMap.
func Config(r release.Release) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: meta(r, release.Names{App: r.Env.App}.Config(r.ID)),
		Immutable:  new(true),
		Data:       r.Env.Env,
	}
}

// Secret returns the release's immutable Secret, nil when none is required.
func Secret(r release.Release, values map[string]string) *corev1.Secret {
	if len(r.Env.Secrets.Required) == 0 {
		return nil
	}
	data := map[string][]byte{}
	for k, v := range values {
		data[k] = []byte(v)
	}
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: meta(r, release.Names{App: r.Env.App}.Config(r.ID)),
		Type:       corev1.SecretTypeOpaque,
		Immutable:  new(true),
		Data:       data,
	}
}

// LiveService returns the Service that users reach, selecting c.
func LiveService(r release.Release, c release.Colour) *corev1.Service {
	return service(r, release.Names{App: r.Env.App}.Live(), c)
}

// PreviewService returns the Service by which a colour is looked at before it
// serves.
func PreviewService(r release.Release, c release.Colour) *corev1.Service {
	return service(r, release.Names{App: r.Env.App}.Preview(), c)
}

func service(r release.Release, name string, c release.Colour) *corev1.Service {
	m := meta(r, name)
	delete(m.Labels, release.LabelRelease) // it outlives the release that made it
	return &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: m,
		Spec: corev1.ServiceSpec{
			Selector: release.Names{App: r.Env.App}.Selector(c),
			Ports:    []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromString("http"), Protocol: corev1.ProtocolTCP}},
		},
	}
}

// smokeFolder is where the bundle holds the compiled smoke tests.
const smokeFolder = "/smoke"

const (
	// starting is what a pod may take until its program runs.
	starting = 15 * time.Second
	// backOff is the most that Kubernetes waits before one of a few retries.
	backOff = 40 * time.Second
)

// SmokeDeadline returns how long a suite may take, with all its retries.
func SmokeDeadline(s *config.Smoke) time.Duration {
	retries := time.Duration(s.Retries)
	return (1+retries)*(s.Timeout+starting) + retries*backOff
}

// SmokeJob returns the Job that runs a release's smoke tests against a Service.
func SmokeJob(rec *release.Record, target, service string) *batchv1.Job {
	r, s := rec.Release, rec.Release.Env.Smoke
	spec := helperPod(r, "smoke", nil)
	c := &spec.Containers[0]
	if s.Image != "" {
		c.Image, c.Args = s.Image, nil
		c.Command = s.Command
		unbundled(c)
	} else {
		c.Command = []string{smokeFolder + "/smoke.test", "-test.v", "-test.timeout=" + s.Timeout.String()}
		c.WorkingDir = smokeFolder
		c.VolumeMounts = []corev1.VolumeMount{{Name: "tmp", MountPath: "/tmp"}}
		spec.Volumes = []corev1.Volume{{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	}
	c.Env = []corev1.EnvVar{{Name: "BASE_URL", Value: "http://" + service}, {Name: "EXPECT_VERSION", Value: r.Version}}
	return &batchv1.Job{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
		ObjectMeta: meta(r, release.Names{App: r.Env.App}.Smoke(rec.Number, target)),
		Spec: batchv1.JobSpec{
			BackoffLimit:          new(int32(s.Retries)),
			ActiveDeadlineSeconds: new(int64(seconds32(SmokeDeadline(s)))),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: helperLabels(r, "smoke")},
				Spec:       spec,
			},
		},
	}
}

// helperPod describes a pod of the release's bundle: it has no rights in the
// cluster and needs none in its container, so that a namespace may enforce the pod
// security standard "restricted".
func helperPod(r release.Release, name string, args []string) corev1.PodSpec {
	return corev1.PodSpec{
		RestartPolicy:                corev1.RestartPolicyNever,
		ImagePullSecrets:             pullSecrets(r.Env),
		AutomountServiceAccountToken: new(false),
		EnableServiceLinks:           new(false),
		// A helper keeps nothing, so that there is nothing to wait for.
		TerminationGracePeriodSeconds: new(int64(0)),
		Containers: []corev1.Container{{
			Name:  name,
			Image: r.Bundle,
			Args:  args,
			SecurityContext: &corev1.SecurityContext{
				RunAsNonRoot:             new(true),
				RunAsUser:                new(int64(65532)),
				ReadOnlyRootFilesystem:   new(true),
				AllowPrivilegeEscalation: new(false),
				Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				SeccompProfile:           &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("32Mi")},
				Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")},
			},
		}},
	}
}

// unbundled gives a container of somebody else's image what it may need and the
// bundle does not.
func unbundled(c *corev1.Container) {
	c.SecurityContext = &corev1.SecurityContext{AllowPrivilegeEscalation: new(false)}
	c.Resources = corev1.ResourceRequirements{}
}

func helperLabels(r release.Release, role string) map[string]string {
	labels := release.Names{App: r.Env.App}.Labels()
	labels[release.LabelRelease] = r.ID
	labels[release.LabelRole] = role
	return labels
}

func meta(r release.Release, name string) metav1.ObjectMeta {
	labels := release.Names{App: r.Env.App}.Labels()
	labels[release.LabelRelease] = r.ID
	return metav1.ObjectMeta{Name: name, Namespace: r.Env.Namespace, Labels: labels}
}

func seconds32(d time.Duration) int32 { return int32((d + time.Second - 1) / time.Second) }

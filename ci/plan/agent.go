package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"cutover.dev/ci/release"
)

// roleAgent is LabelRole of all that the agent consists of.
const roleAgent = "agent"

// AgentPod returns the pod that looks at the application from inside the
// cluster while a run is at work, and guards its users should the run be killed.
// It ends by itself after lifetime, so that a killed run leaves nothing behind
// for ever.
func AgentPod(rec *release.Record, lifetime time.Duration) *corev1.Pod {
	r := rec.Release
	names := release.Names{App: r.Env.App}
	m := meta(r, names.Agent())
	m.Labels = helperLabels(r, roleAgent)
	spec := helperPod(r, "agent", slices.Concat(
		[]string{"agent", "watch", "--run=" + rec.Run},
		lookArgs(r, "preview", names.Preview()),
		lookArgs(r, "live", names.Live()),
		probeArgs(r),
		metricsArgs(rec),
		guardArgs(rec),
	))
	// A prober that is starved reports requests as late that were not.
	spec.Containers[0].Resources.Requests[corev1.ResourceCPU] = resource.MustParse("50m")
	spec.ActiveDeadlineSeconds = new(int64(lifetime / time.Second))
	// When it is needed most, nobody is there to start it again but the kubelet.
	spec.RestartPolicy = corev1.RestartPolicyOnFailure
	spec.ServiceAccountName = names.Agent()
	spec.AutomountServiceAccountToken = new(true)
	return &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: m, Spec: spec}
}

// lookArgs name what is asked for its version, and what is probed.
func lookArgs(r release.Release, name, service string) []string {
	base := name + "=http://" + service
	return []string{"--target=" + base + r.Env.Health.Version, "--probe=" + base}
}

// probeArgs are the requests that both probers send. What is not configured is
// left to the prober's own defaults.
func probeArgs(r release.Release) []string {
	p := r.Env.Probe
	var args []string
	add := func(flag, value string) {
		if value != "" {
			args = append(args, "--"+flag+"="+literal(value))
		}
	}
	if p.Rate > 0 {
		add("rate", fmt.Sprint(p.Rate))
	}
	add("read", p.Read)
	if w := p.Write; w != nil {
		add("write", w.Post)
		add("body", w.Body)
	}
	add("slow", p.Slow)
	if p.Timeout > 0 {
		add("timeout", p.Timeout.String())
	}
	add("version-header", p.VersionHeader)
	return args
}

// metricsArgs are the questions to Prometheus, about this release.
func metricsArgs(rec *release.Record) []string {
	env := rec.Release.Env
	if len(env.Bake.Queries) == 0 {
		return nil
	}
	known := strings.NewReplacer("${app}", env.App, "${namespace}", env.Namespace, "${colour}", string(rec.Colour),
		"${release}", rec.Release.ID, "${version}", rec.Release.Version)
	args := []string{"--prometheus=" + literal(env.Metrics.Prometheus), "--interval=" + env.Bake.Interval.String()}
	for _, name := range slices.Sorted(maps.Keys(env.Bake.Queries)) {
		args = append(args, "--query="+name+"="+literal(known.Replace(env.Bake.Queries[name].PromQL)))
	}
	return args
}

// guardArgs tell whom the guard protects, and which way back there is.
func guardArgs(rec *release.Record) []string {
	args := []string{
		"--guard", "--namespace=" + rec.Release.Env.Namespace, "--app=" + rec.Release.Env.App,
		"--colour=" + string(rec.Colour), fmt.Sprintf("--tolerate=%d", rec.Release.Env.Probe.Tolerate),
	}
	if !rec.First() {
		args = append(args, "--previous="+string(rec.PreviousColour))
	}
	return args
}

// literal keeps Kubernetes from reading a value as its own $(VARIABLE).
func literal(value string) string { return strings.ReplaceAll(value, "$", "$$") }

// AgentAccount returns the account that the agent's pod runs as.
func AgentAccount(rec *release.Record) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
		ObjectMeta: agentMeta(rec, release.Names{App: rec.Release.Env.App}.Agent()),
		// Only the agent's pod asks for a token.
		AutomountServiceAccountToken: new(false),
	}
}

// AgentRole returns all that the agent may do: what its guard needs to switch one
// Service back, and to read pods. Rights by name are on objects that exist; to
// create or to watch one cannot be granted by name, so it may do neither.
func AgentRole(rec *release.Record) *rbacv1.Role {
	names := release.Names{App: rec.Release.Env.App}
	return &rbacv1.Role{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "Role"},
		ObjectMeta: agentMeta(rec, names.Agent()),
		Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"services"}, ResourceNames: []string{names.Live()}, Verbs: []string{"get", "patch"}},
			{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, ResourceNames: []string{names.Head()}, Verbs: []string{"get", "update"}},
			{APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{names.Guard()}, Verbs: []string{"get", "update"}},
			{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list"}},
		},
	}
}

// AgentRoleBinding gives AgentAccount what AgentRole holds.
func AgentRoleBinding(rec *release.Record) *rbacv1.RoleBinding {
	m := agentMeta(rec, release.Names{App: rec.Release.Env.App}.Agent())
	return &rbacv1.RoleBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "RoleBinding"},
		ObjectMeta: m,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: m.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: m.Name, Namespace: m.Namespace}},
	}
}

// GuardConfigMap returns the empty ConfigMap that the guard writes its report
// into. It may not create it.
func GuardConfigMap(rec *release.Record) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: agentMeta(rec, release.Names{App: rec.Release.Env.App}.Guard()),
	}
}

// agentMeta is that of what outlives the release.
func agentMeta(rec *release.Record, name string) metav1.ObjectMeta {
	m := meta(rec.Release, name)
	m.Labels = release.Names{App: rec.Release.Env.App}.Labels()
	m.Labels[release.LabelRole] = roleAgent
	return m
}

package plan

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"cutover.dev/ci/config"
)

func quota(name string, hard, used corev1.ResourceList) corev1.ResourceQuota {
	return corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.ResourceQuotaSpec{Hard: hard}, Status: corev1.ResourceQuotaStatus{Hard: hard, Used: used}}
}

func list(pairs ...string) corev1.ResourceList {
	out := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		out[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return out
}

// whats are what the findings say.
func whats(find func(adder)) (said []string) {
	find(func(_, format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) })
	return said
}

func sized() Input {
	in := offer()
	in.Env.Migrations = nil
	in.Env.Verify.Drain = true
	in.Env.Resources = config.Resources{Requests: map[string]string{"cpu": "100m"}, Limits: map[string]string{"memory": "128Mi"}}
	return in
}

func TestAQuotaThatWouldKeepPodsOutIsToldBefore(t *testing.T) {
	in := sized()
	room := func(q corev1.ResourceQuota) []string {
		return whats(func(add adder) {
			quotaFindings(in, Observed{Inspected: Inspected{Quotas: []corev1.ResourceQuota{q}}}, 3, add)
		})
	}
	// Three pods, one for the drain test, and the agent.
	require.Empty(t, room(quota("q", list("pods", "10", "cpu", "1"), list("pods", "5", "cpu", "550m"))))
	require.Equal(t, []string{"the quota q allows 1 of cpu; 551m are used and the run needs 450m more",
		"the quota q allows 10 of pods; 6 are used and the run needs 5 more"},
		room(quota("q", list("pods", "10", "cpu", "1"), list("pods", "6", "cpu", "551m"))))
	require.Equal(t, []string{"the quota q allows 700Mi of limits.memory; 0 are used and the run needs 768Mi more"},
		room(quota("q", list("limits.memory", "700Mi"), nil)))
	require.Equal(t, []string{"the quota q allows 500Mi of requests.memory; 0 are used and the run needs 544Mi more"},
		room(quota("q", list("requests.memory", "500Mi"), nil)), "without a request the limit counts")
	require.Empty(t, room(quota("q", list("services.loadbalancers", "0"), nil)), "it counts nothing of ours")

	scoped := quota("q", list("pods", "1"), nil)
	scoped.Spec.Scopes = []corev1.ResourceQuotaScope{corev1.ResourceQuotaScopeBestEffort}
	require.Empty(t, room(scoped), "it may count other pods")
}

func TestPodsOutsideTheNamespacesLimitsAreToldBefore(t *testing.T) {
	seen := Observed{Inspected: Inspected{LimitRanges: []corev1.LimitRange{{ObjectMeta: metav1.ObjectMeta{Name: "l"}, Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{
		{Type: corev1.LimitTypeContainer, Max: list("memory", "64Mi", "cpu", "2"), Min: list("cpu", "200m")},
		{Type: corev1.LimitTypePersistentVolumeClaim, Max: list("memory", "1Mi")},
	}}}}}}
	require.Equal(t, []string{"the LimitRange l wants at most of memory 64Mi, but resources say 128Mi",
		"the LimitRange l wants at least of cpu 200m, but resources say 100m"},
		whats(func(add adder) { rangeFindings(sized(), seen, add) }))
}

func TestMissingRightsAreToldAllAtOnceAndAdvisoryOnesAsNotes(t *testing.T) {
	seen := Observed{NamespaceExists: true, Inspected: Inspected{Denied: []Right{
		{Group: "apps", Resource: "deployments", Verb: "create"}, {Resource: "pods/log", Verb: "get"}, {Resource: "resourcequotas", Verb: "list"}}}}
	p := Make(sized(), seen)
	require.Len(t, p.Findings, 2)
	require.Equal(t, "the account may not create deployments.apps in the namespace notes-prod", p.Findings[0].What)
	require.Equal(t, "the account may not get pods/log in the namespace notes-prod", p.Findings[1].What)
	require.Contains(t, p.Notes, "the account may not list resourcequotas: what depends on it was not looked at")
}

func TestPodsWithoutANodeAreTold(t *testing.T) {
	in := sized()
	note := func(nodes ...Node) string { return roomNote(in, nodes, 3) }
	// Three pods and one for the drain test, each of 100m and, by its limit, 128Mi.
	require.Empty(t, note(), "nobody knows")
	require.Empty(t, note(Node{Free: list("cpu", "300m", "memory", "1Gi", "pods", "9")}, Node{Free: list("cpu", "100m", "memory", "128Mi", "pods", "1")}))
	require.Equal(t, "the nodes have room for 3 of the new colour's 4 pods at the moment (each reserves 100m of cpu, 128Mi of memory); the others wait until something leaves or a node comes",
		note(Node{Free: list("cpu", "300m", "memory", "1Gi", "pods", "9")}, Node{Free: list("cpu", "99m", "memory", "1Gi", "pods", "9")}))
	require.Contains(t, note(Node{Free: list("cpu", "9", "memory", "9Gi", "pods", "2")}), "room for 2 of")
	in.Env.Resources = config.Resources{}
	require.Contains(t, note(Node{Free: list("pods", "0")}), "room for 0 of the new colour's 4 pods at the moment (each reserves nothing)")
}

func TestReservedIsWhatIsRequestedOrElseTheLimit(t *testing.T) {
	container := corev1.Container{Resources: corev1.ResourceRequirements{Requests: list("cpu", "1"), Limits: list("cpu", "2", "memory", "1Gi")}}
	free := Reserve(list("cpu", "4", "memory", "4Gi", "pods", "10"), []corev1.PodSpec{{Containers: []corev1.Container{container}}, {Containers: []corev1.Container{container, container}}})
	for name, want := range list("cpu", "1", "memory", "1Gi", "pods", "8") {
		has := free[name]
		require.Zero(t, want.Cmp(has), "%s: %s", name, has.String())
	}
}

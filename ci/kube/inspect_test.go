package kube

import (
	"testing"

	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"cutover.dev/ci/plan"
	"cutover.dev/ci/release"
)

// account lets the API server say what the account may do: by rules, and by
// single rights that no rule tells of. It counts how often it was asked for one.
func account(client *fake.Clientset, rules []authorizationv1.ResourceRule, alone ...plan.Right) (asked *int) {
	client.PrependReactor("create", "selfsubjectrulesreviews", func(k8stesting.Action) (bool, runtime.Object, error) {
		return true, &authorizationv1.SelfSubjectRulesReview{Status: authorizationv1.SubjectRulesReviewStatus{ResourceRules: rules}}, nil
	})
	asked = new(int)
	client.PrependReactor("create", "selfsubjectaccessreviews", func(a k8stesting.Action) (bool, runtime.Object, error) {
		*asked++
		review := a.(k8stesting.CreateAction).GetObject().(*authorizationv1.SelfSubjectAccessReview)
		at := review.Spec.ResourceAttributes
		for _, r := range alone {
			if at.Group == r.Group && at.Resource+"/"+at.Subresource == r.Resource+"/" && at.Verb == r.Verb {
				review.Status.Allowed = true
			}
		}
		return true, review, nil
	})
	return asked
}

func TestAnAccountThatMayDoEverythingIsAskedOnce(t *testing.T) {
	c, client := newFake(t)
	asked := account(client, []authorizationv1.ResourceRule{{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}}})
	seen, err := c.Inspect(t.Context())
	require.NoError(t, err)
	require.Empty(t, seen.Denied)
	require.Zero(t, *asked)
}

func TestRightsThatNoRuleTellsOfAreAskedForByThemselves(t *testing.T) {
	c, client := newFake(t)
	var rules []authorizationv1.ResourceRule
	for _, r := range plan.Rights {
		if r.Resources[0] != "services" {
			rules = append(rules, authorizationv1.ResourceRule{APIGroups: r.APIGroups, Resources: r.Resources, Verbs: r.Verbs})
		}
	}
	// On one object only: that is not the right.
	rules = append(rules, authorizationv1.ResourceRule{APIGroups: []string{""}, Resources: []string{"services"}, ResourceNames: []string{"other"}, Verbs: []string{"*"}})
	asked := account(client, rules, plan.Right{Resource: "services", Verb: "get"}, plan.Right{Resource: "services", Verb: "create"})
	seen, err := c.Inspect(t.Context())
	require.NoError(t, err)
	require.Equal(t, []plan.Right{{Resource: "services", Verb: "patch"}, {Resource: "services", Verb: "delete"}}, seen.Denied)
	require.Equal(t, 4, *asked)
}

func TestQuotasThatMayNotBeReadStopNothing(t *testing.T) {
	c, client := newFake(t, &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "q", Namespace: namespace}}, &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: "l", Namespace: namespace}})
	account(client, []authorizationv1.ResourceRule{{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}}})
	seen, err := c.Inspect(t.Context())
	require.NoError(t, err)
	require.Len(t, seen.Quotas, 1)
	require.Len(t, seen.LimitRanges, 1)

	client.PrependReactor("list", "resourcequotas", func(k8stesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "resourcequotas"}, "", nil)
	})
	seen, err = c.Inspect(t.Context())
	require.NoError(t, err)
	require.Empty(t, seen.Quotas)
}

func TestFreeOnNodesIsWhatTheirPodsHaveNotReserved(t *testing.T) {
	node := func(name string, change func(*corev1.NodeSpec)) *corev1.Node {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("10")}}}
		change(&n.Spec)
		return n
	}
	on := pod("x", release.Blue, "r1", true)
	on.Spec.NodeName = "open"
	c, client := newFake(t, on,
		node("open", func(s *corev1.NodeSpec) { s.Taints = []corev1.Taint{{Effect: corev1.TaintEffectPreferNoSchedule}} }),
		node("tainted", func(s *corev1.NodeSpec) { s.Taints = []corev1.Taint{{Effect: corev1.TaintEffectNoSchedule}} }),
		node("cordoned", func(s *corev1.NodeSpec) { s.Unschedulable = true }))
	account(client, []authorizationv1.ResourceRule{{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}}})
	seen, err := c.Inspect(t.Context())
	require.NoError(t, err)
	require.Len(t, seen.Nodes, 1)
	require.Equal(t, "open", seen.Nodes[0].Name)
	require.Equal(t, int64(9), seen.Nodes[0].Free.Pods().Value())

	client.PrependReactor("list", "nodes", func(k8stesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "nodes"}, "", nil)
	})
	seen, err = c.Inspect(t.Context())
	require.NoError(t, err)
	require.Nil(t, seen.Nodes)
}

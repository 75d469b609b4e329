package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"cutover.dev/ci/plan"
)

// Inspect returns what could stop a run on its way: missing rights, quotas and
// limits of the namespace. What may not be read is among the missing rights.
func (c *Cluster) Inspect(ctx context.Context) (seen plan.Inspected, err error) {
	if seen.Denied, err = c.denied(ctx); err != nil {
		return seen, err
	}
	quotas, err := c.client.CoreV1().ResourceQuotas(c.namespace).List(ctx, metav1.ListOptions{})
	if err != nil && !apierrors.IsForbidden(err) {
		return seen, fmt.Errorf("read the quotas of the namespace %s: %w", c.namespace, err)
	}
	if err == nil {
		seen.Quotas = quotas.Items
	}
	limits, err := c.client.CoreV1().LimitRanges(c.namespace).List(ctx, metav1.ListOptions{})
	if err != nil && !apierrors.IsForbidden(err) {
		return seen, fmt.Errorf("read the limits of the namespace %s: %w", c.namespace, err)
	}
	if err == nil {
		seen.LimitRanges = limits.Items
	}
	seen.Nodes = c.nodes(ctx)
	return seen, nil
}

const (
	// mostNodes and mostPods bound what is read for a piece of advice.
	mostNodes, mostPods = 50, 2000
)

// nodes returns the nodes that take pods without tolerations, and what is free on
// them; nil where that cannot be read in one request each.
func (c *Cluster) nodes(ctx context.Context) (list []plan.Node) {
	nodes, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{Limit: mostNodes})
	if err != nil || nodes.Continue != "" {
		return nil
	}
	pods, err := c.client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{
		Limit: mostPods, FieldSelector: "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed",
	})
	if err != nil || pods.Continue != "" {
		return nil
	}
	on := map[string][]corev1.PodSpec{}
	for _, p := range pods.Items {
		on[p.Spec.NodeName] = append(on[p.Spec.NodeName], p.Spec)
	}
	for _, n := range nodes.Items {
		closed := slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Effect != corev1.TaintEffectPreferNoSchedule })
		if !closed && !n.Spec.Unschedulable {
			list = append(list, plan.Node{Name: n.Name, Free: plan.Reserve(n.Status.Allocatable, on[n.Name])})
		}
	}
	return list
}

// denied returns the rights that the account lacks. One request tells almost all
// of what it has; what that does not tell of, as where a webhook decides, is asked
// for by itself.
func (c *Cluster) denied(ctx context.Context) ([]plan.Right, error) {
	review, err := c.client.AuthorizationV1().SelfSubjectRulesReviews().Create(ctx,
		&authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: c.namespace}}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("ask which rights the account has: %w", err)
	}
	var denied []plan.Right
	for _, r := range plan.Needed() {
		if slices.ContainsFunc(review.Status.ResourceRules, func(rule authorizationv1.ResourceRule) bool { return grants(rule, r) }) {
			continue
		}
		allowed, err := c.may(ctx, r)
		if err != nil {
			return nil, err
		}
		if !allowed {
			denied = append(denied, r)
		}
	}
	return denied, nil
}

// grants reports whether a rule surely gives the right on every object.
func grants(rule authorizationv1.ResourceRule, r plan.Right) bool {
	has := func(list []string, wanted string) bool {
		return slices.Contains(list, wanted) || slices.Contains(list, "*")
	}
	return len(rule.ResourceNames) == 0 && has(rule.APIGroups, r.Group) && has(rule.Resources, r.Resource) && has(rule.Verbs, r.Verb)
}

func (c *Cluster) may(ctx context.Context, r plan.Right) (bool, error) {
	name, sub, _ := strings.Cut(r.Resource, "/")
	review, err := c.client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: c.namespace, Group: r.Group, Resource: name, Subresource: sub, Verb: r.Verb,
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("ask for the right to %s: %w", r, err)
	}
	return review.Status.Allowed, nil
}

package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"cutover.dev/ci/plan"
	"cutover.dev/ci/release"
)

// Observe returns what the cluster says about the application now. It only
// reads, each object once, whatever the number of pods.
func (c *Cluster) Observe(ctx context.Context) (plan.Observed, error) {
	seen := plan.Observed{
		Ready: map[release.Colour]int{}, Size: map[release.Colour]int{}, Image: map[release.Colour]string{}, Releases: map[release.Colour]string{},
	}
	if _, err := c.client.CoreV1().Namespaces().Get(ctx, c.namespace, metav1.GetOptions{}); apierrors.IsNotFound(err) {
		return seen, nil
	} else if err != nil && !apierrors.IsForbidden(err) { // the right to read namespaces is not needed
		return seen, fmt.Errorf("read the namespace %s: %w", c.namespace, err)
	}
	seen.NamespaceExists = true

	var err error
	if seen.Record, err = c.Load(ctx); err != nil {
		return seen, err
	}
	if err := c.observeService(ctx, &seen); err != nil {
		return seen, err
	}
	if err := c.observeColours(ctx, &seen); err != nil {
		return seen, err
	}
	if live := seen.Live(); live != nil {
		if seen.LiveSecrets, err = c.Secrets(ctx, live.ID); err != nil {
			return seen, err
		}
	}
	return seen, nil
}

func (c *Cluster) observeService(ctx context.Context, seen *plan.Observed) error {
	live, err := c.client.CoreV1().Services(c.namespace).Get(ctx, c.names.Live(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the Service %s: %w", c.names.Live(), err)
	}
	seen.Service = live.Spec.Selector
	if seen.Service == nil {
		seen.Service = map[string]string{} // a Service without a selector is not "no Service"
	}
	for _, m := range live.ManagedFields {
		if ownsColour(m) && !slices.Contains(seen.ServiceWriters, m.Manager) {
			seen.ServiceWriters = append(seen.ServiceWriters, m.Manager)
		}
	}
	return nil
}

// ownsColour reports whether a field manager wrote the colour in a Service's
// selector: the part that a switch changes, and with it takes over.
func ownsColour(m metav1.ManagedFieldsEntry) bool {
	var owned struct {
		Spec struct {
			Selector map[string]any `json:"f:selector"`
		} `json:"f:spec"`
	}
	if m.FieldsV1 == nil || json.Unmarshal(m.FieldsV1.GetRawBytes(), &owned) != nil {
		return false
	}
	_, owns := owned.Spec.Selector["f:"+release.LabelColour]
	return owns
}

func (c *Cluster) observeColours(ctx context.Context, seen *plan.Observed) error {
	own := labels.SelectorFromSet(labels.Set{release.LabelApp: c.names.App}).String()
	list, err := c.client.AppsV1().Deployments(c.namespace).List(ctx, metav1.ListOptions{LabelSelector: own})
	if err != nil {
		return fmt.Errorf("read the Deployments of %s: %w", c.names.App, err)
	}
	for _, d := range list.Items {
		colour := release.Colour(d.Labels[release.LabelColour])
		if d.Name != c.names.Deployment(colour) {
			continue
		}
		if d.Spec.Replicas != nil {
			seen.Size[colour] = int(*d.Spec.Replicas)
		}
		seen.Ready[colour] = int(d.Status.ReadyReplicas)
		seen.Releases[colour] = d.Labels[release.LabelRelease]
		seen.Image[colour] = d.Spec.Template.Spec.Containers[0].Image
	}
	return nil
}

// Secrets implements rollout.Releases: none when there is no Secret.
func (c *Cluster) Secrets(ctx context.Context, id string) (map[string]string, error) {
	secret, err := c.client.CoreV1().Secrets(c.namespace).Get(ctx, c.names.Config(id), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the Secret of release %s: %w", id, err)
	}
	values := map[string]string{}
	for k, v := range secret.Data {
		values[k] = string(v)
	}
	return values, nil
}

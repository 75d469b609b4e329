package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"cutover.dev/ci/plan"
	"cutover.dev/ci/release"
)

// races is how often a write that tests what it replaces is tried while others
// write the same object, such as a load balancer's controller its status.
const races = 10

// raced reports whether such a test failed.
func raced(err error) bool { return apierrors.IsInvalid(err) || apierrors.IsConflict(err) }

// Select implements rollout.Traffic, by one write that tests what it replaces:
// when the selector is neither the wanted one nor one of from, nothing is written.
// From None the Service is created; to None it is deleted.
func (c *Cluster) Select(ctx context.Context, rec *release.Record, to release.Colour, from ...release.Colour) error {
	return c.write(ctx, fmt.Sprintf("switch the Service %s to %s", c.names.Live(), to), func(ctx context.Context) (err error) {
		for range races {
			if err = c.selectOnce(ctx, rec, to, from); !raced(err) {
				break // else what the Service selects now decides
			}
		}
		return err
	})
}

func (c *Cluster) selectOnce(ctx context.Context, rec *release.Record, to release.Colour, from []release.Colour) error {
	services := c.client.CoreV1().Services(c.namespace)
	live, err := services.Get(ctx, c.names.Live(), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err) && to == release.None:
		return nil
	case apierrors.IsNotFound(err) && slices.Contains(from, release.None):
		_, err := services.Create(ctx, plan.LiveService(rec.Release, to), metav1.CreateOptions{FieldManager: release.Manager})
		return err
	case err != nil:
		return err
	case to != release.None && maps.Equal(live.Spec.Selector, c.names.Selector(to)):
		return nil // an earlier attempt's answer was lost, or there was nothing to do
	case !slices.ContainsFunc(from, func(f release.Colour) bool {
		return f != release.None && maps.Equal(live.Spec.Selector, c.names.Selector(f))
	}):
		return fmt.Errorf("it selects %v, not %s: somebody else changed it", live.Spec.Selector, from[0])
	case to == release.None:
		return gone(services.Delete(ctx, live.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &live.ResourceVersion}}))
	}
	patch, err := selectorPatch(live.ResourceVersion, live.Spec.Selector, c.names.Selector(to))
	if err != nil {
		return err
	}
	_, err = services.Patch(ctx, live.Name, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: release.Manager})
	return err
}

func selectorPatch(resourceVersion string, from, to map[string]string) ([]byte, error) {
	type operation struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value"`
	}
	return json.Marshal([]operation{
		{"test", "/metadata/resourceVersion", resourceVersion},
		{"test", "/spec/selector", from},
		{"replace", "/spec/selector", to},
	})
}

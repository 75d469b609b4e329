package kube

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"cutover.dev/ci/outcome"
	"cutover.dev/ci/plan"
	"cutover.dev/ci/release"
)

// ApplyColour makes the Deployment of the record's colour run its release, and
// guards it by a disruption budget. It does not say by how many pods: Scale and
// SetLeast do.
func (c *Cluster) ApplyColour(ctx context.Context, rec *release.Record) error {
	if err := apply(ctx, c, c.client.AppsV1().Deployments(c.namespace), plan.Deployment(rec.Release, rec.Colour)); err != nil {
		return err
	}
	return apply(ctx, c, c.client.PolicyV1().PodDisruptionBudgets(c.namespace), plan.DisruptionBudget(rec.Release, rec.Colour))
}

// SetLeast implements rollout.Colours.
func (c *Cluster) SetLeast(ctx context.Context, r release.Release, colour release.Colour, least int) error {
	if scaler := plan.Autoscaler(r, colour, least); scaler != nil {
		return apply(ctx, c, c.client.AutoscalingV2().HorizontalPodAutoscalers(c.namespace), scaler)
	}
	return nil
}

// Least implements rollout.Colours.
func (c *Cluster) Least(ctx context.Context, colour release.Colour) (int, error) {
	name, least := c.names.Deployment(colour), 0
	return least, c.write(ctx, "read the autoscaler "+name, func(ctx context.Context) error {
		scaler, err := c.client.AutoscalingV2().HorizontalPodAutoscalers(c.namespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil {
			least = 1 // Kubernetes' own default
			if scaler.Spec.MinReplicas != nil {
				least = int(*scaler.Spec.MinReplicas)
			}
		}
		return gone(err)
	})
}

// ApplyPreview makes the preview Service select the record's colour.
func (c *Cluster) ApplyPreview(ctx context.Context, rec *release.Record) error {
	return apply(ctx, c, c.client.CoreV1().Services(c.namespace), plan.PreviewService(rec.Release, rec.Colour))
}

// object is anything with a name and a kind.
type object interface {
	metav1.Object
	runtime.Object
}

func kindOf(o object) string { return o.GetObjectKind().GroupVersionKind().Kind }

// patcher is the part of a typed client that apply needs.
type patcher[T object] interface {
	Patch(ctx context.Context, name string, kind types.PatchType, body []byte, options metav1.PatchOptions, subresources ...string) (T, error)
}

// apply makes an object as described, by a server-side apply.
func apply[T object](ctx context.Context, c *Cluster, client patcher[T], o T) error {
	body, err := applyBody(o)
	if err != nil {
		return err
	}
	return c.write(ctx, fmt.Sprintf("apply the %s %s", kindOf(o), o.GetName()), func(ctx context.Context) error {
		_, err := client.Patch(ctx, o.GetName(), types.ApplyPatchType, body, metav1.PatchOptions{FieldManager: release.Manager, Force: new(true)})
		return err
	})
}

// creator is the part of a typed client that create needs.
type creator[T object] interface {
	Create(ctx context.Context, o T, options metav1.CreateOptions) (T, error)
	Get(ctx context.Context, name string, options metav1.GetOptions) (T, error)
}

// create makes an object that never changes; one that exists must be the same.
func create[T object](ctx context.Context, c *Cluster, client creator[T], o T, same func(old T) bool) error {
	return c.write(ctx, fmt.Sprintf("create the %s %s", kindOf(o), o.GetName()), func(ctx context.Context) error {
		_, err := client.Create(ctx, o, metav1.CreateOptions{FieldManager: release.Manager})
		if !apierrors.IsAlreadyExists(err) {
			return err
		}
		old, err := client.Get(ctx, o.GetName(), metav1.GetOptions{})
		if err == nil && !same(old) {
			return errors.New("it exists with other values")
		}
		return err
	})
}

// CreateConfig creates the release's immutable ConfigMap and Secret. Ones that
// exist must hold the same. Without the secrets' values, as in a run that is gone
// on with, the Secret must exist.
func (c *Cluster) CreateConfig(ctx context.Context, rec *release.Record, secrets map[string]string) error {
	config := plan.Config(rec.Release)
	if err := create(ctx, c, c.client.CoreV1().ConfigMaps(c.namespace), config, func(old *corev1.ConfigMap) bool {
		return maps.Equal(old.Data, config.Data)
	}); err != nil {
		return err
	}
	if len(rec.Release.Env.Secrets.Required) == 0 {
		return nil
	}
	if secrets == nil {
		return c.wantSecret(ctx, rec)
	}
	secret := plan.Secret(rec.Release, secrets)
	return create(ctx, c, c.client.CoreV1().Secrets(c.namespace), secret, func(old *corev1.Secret) bool {
		return maps.EqualFunc(old.Data, secret.Data, bytes.Equal)
	})
}

func (c *Cluster) wantSecret(ctx context.Context, rec *release.Record) error {
	name := c.names.Config(rec.Release.ID)
	err := c.write(ctx, "read the Secret "+name, func(ctx context.Context) error {
		_, err := c.client.CoreV1().Secrets(c.namespace).Get(ctx, name, metav1.GetOptions{})
		return err
	})
	if apierrors.IsNotFound(err) {
		return outcome.Refusef(fmt.Sprintf("dagger call deploy --env=%s --secrets=…", rec.Release.Env.Name),
			"the run was interrupted before it had made its Secret, and no values were given")
	}
	return err
}

// Scale sets the number of pods of a colour. A colour without a Deployment has
// none already.
func (c *Cluster) Scale(ctx context.Context, colour release.Colour, size int) error {
	name := c.names.Deployment(colour)
	patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, size)
	return c.write(ctx, fmt.Sprintf("scale the Deployment %s to %d", name, size), func(ctx context.Context) error {
		_, err := c.client.AppsV1().Deployments(c.namespace).Patch(ctx, name, types.MergePatchType, patch,
			metav1.PatchOptions{FieldManager: release.Manager}, "scale")
		if apierrors.IsNotFound(err) && size == 0 {
			return nil
		}
		return err
	})
}

// Size implements rollout.Colours.
func (c *Cluster) Size(ctx context.Context, colour release.Colour) (int, error) {
	name, size := c.names.Deployment(colour), 0
	return size, c.write(ctx, "read the Deployment "+name, func(ctx context.Context) error {
		d, err := c.client.AppsV1().Deployments(c.namespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil && d.Spec.Replicas != nil {
			size = int(*d.Spec.Replicas)
		}
		return gone(err)
	})
}

// Park takes a colour out of service: its autoscaler goes first, so that nothing
// raises it again.
func (c *Cluster) Park(ctx context.Context, colour release.Colour) error {
	if err := c.deleteScaler(ctx, colour); err != nil {
		return err
	}
	return c.Scale(ctx, colour, 0)
}

func (c *Cluster) deleteScaler(ctx context.Context, colour release.Colour) error {
	name := c.names.Deployment(colour)
	return c.write(ctx, "delete the autoscaler "+name, func(ctx context.Context) error {
		return gone(c.client.AutoscalingV2().HorizontalPodAutoscalers(c.namespace).Delete(ctx, name, metav1.DeleteOptions{}))
	})
}

// DeleteColour deletes the Deployment of a colour and what guards it.
func (c *Cluster) DeleteColour(ctx context.Context, colour release.Colour) error {
	if err := c.deleteScaler(ctx, colour); err != nil {
		return err
	}
	name := c.names.Deployment(colour)
	return c.write(ctx, "delete the Deployment "+name, func(ctx context.Context) error {
		if err := gone(c.client.PolicyV1().PodDisruptionBudgets(c.namespace).Delete(ctx, name, metav1.DeleteOptions{})); err != nil {
			return err
		}
		return gone(c.client.AppsV1().Deployments(c.namespace).Delete(ctx, name, metav1.DeleteOptions{}))
	})
}

// annotationCost tells the ReplicaSet's controller which pod goes first.
const (
	annotationCost = "controller.kubernetes.io/pod-deletion-cost"
	goesFirst      = "-1000"
)

// EndOne implements rollout.Colours. The pod is chosen by its deletion cost and
// goes by the smaller size, so that no other one is made in its place. It is the
// one that has been ready for longest: the prober keeps connections from its first
// answer on, so that this pod has some of them, where a later one may have none.
func (c *Cluster) EndOne(ctx context.Context, colour release.Colour, size int) (string, error) {
	pods, err := c.pods(c.names.Selector(colour))
	if err != nil {
		return "", err
	}
	pods = slices.DeleteFunc(pods, func(p *corev1.Pod) bool {
		return p.DeletionTimestamp != nil || !isReady(p) && p.Annotations[annotationCost] != goesFirst
	})
	if len(pods) == 0 {
		return "", fmt.Errorf("no pod of %s is ready", colour)
	}
	slices.SortFunc(pods, func(a, b *corev1.Pod) int {
		sinceA, _ := readySince(a)
		sinceB, _ := readySince(b)
		return cmp.Or(cmp.Compare(b.Annotations[annotationCost], a.Annotations[annotationCost]), sinceA.Compare(sinceB), cmp.Compare(a.Name, b.Name))
	})
	pod := pods[0].Name
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, annotationCost, goesFirst)
	if err := c.write(ctx, "mark the pod "+pod, func(ctx context.Context) error {
		_, err := c.client.CoreV1().Pods(c.namespace).Patch(ctx, pod, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: release.Manager})
		return gone(err)
	}); err != nil {
		return "", err
	}
	return pod, c.Scale(ctx, colour, size)
}

// DeletePreview deletes the preview Service.
func (c *Cluster) DeletePreview(ctx context.Context) error {
	return c.deleteService(ctx, c.names.Preview())
}

func (c *Cluster) deleteService(ctx context.Context, name string) error {
	return c.write(ctx, "delete the Service "+name, func(ctx context.Context) error {
		return gone(c.client.CoreV1().Services(c.namespace).Delete(ctx, name, metav1.DeleteOptions{}))
	})
}

// DeleteRelease deletes what belongs to a release alone: its ConfigMap, its
// Secret and its migration Job.
func (c *Cluster) DeleteRelease(ctx context.Context, id string) error {
	name := c.names.Config(id)
	return c.write(ctx, "delete what belonged to release "+id, func(ctx context.Context) error {
		if err := gone(c.client.CoreV1().ConfigMaps(c.namespace).Delete(ctx, name, metav1.DeleteOptions{})); err != nil {
			return err
		}
		if err := gone(c.client.CoreV1().Secrets(c.namespace).Delete(ctx, name, metav1.DeleteOptions{})); err != nil {
			return err
		}
		return c.deleteJob(ctx, c.names.Migrate(id))
	})
}

// write carries out an idempotent write, again while the API server does not
// answer, and says in the error what it was about.
func (c *Cluster) write(ctx context.Context, what string, call func(context.Context) error) error {
	if err := persist(ctx, call); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func gone(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// applyBody encodes an object for a server-side apply: only what we decide,
// neither status nor what the server fills in.
func applyBody(o object) ([]byte, error) {
	data, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, err
	}
	delete(fields, "status")
	return json.Marshal(fields)
}

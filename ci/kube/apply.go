package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"cutover.dev/ci/plan"
	"cutover.dev/ci/release"
)

// ApplyColour makes the Deployment of the record's colour run its release.
func (c *Cluster) ApplyColour(ctx context.Context, rec *release.Record) error {
	d := plan.Deployment(rec.Release, rec.Colour, rec.Replicas)
	body, err := applyBody(d)
	if err != nil {
		return err
	}
	return c.write(ctx, "apply the Deployment "+d.Name, func(ctx context.Context) error {
		_, err := c.client.AppsV1().Deployments(c.namespace).Patch(ctx, d.Name, types.ApplyPatchType, body, applyOptions())
		return err
	})
}

// ApplyPreview makes the preview Service select the record's colour.
func (c *Cluster) ApplyPreview(ctx context.Context, rec *release.Record) error {
	s := plan.PreviewService(rec.Release, rec.Colour)
	body, err := applyBody(s)
	if err != nil {
		return err
	}
	return c.write(ctx, "apply the Service "+s.Name, func(ctx context.Context) error {
		_, err := c.client.CoreV1().Services(c.namespace).Patch(ctx, s.Name, types.ApplyPatchType, body, applyOptions())
		return err
	})
}

// CreateConfig creates the release's immutable ConfigMap and Secret. Ones that
// exist must hold the same.
func (c *Cluster) CreateConfig(ctx context.Context, rec *release.Record, secrets map[string]string) error {
	config := plan.Config(rec.Release)
	if err := c.write(ctx, "create the ConfigMap "+config.Name, func(ctx context.Context) error {
		_, err := c.client.CoreV1().ConfigMaps(c.namespace).Create(ctx, config, metav1.CreateOptions{FieldManager: release.Manager})
		if !apierrors.IsAlreadyExists(err) {
			return err
		}
		old, err := c.client.CoreV1().ConfigMaps(c.namespace).Get(ctx, config.Name, metav1.GetOptions{})
		if err == nil && !maps.Equal(old.Data, config.Data) {
			return fmt.Errorf("it exists with other values")
		}
		return err
	}); err != nil {
		return err
	}
	secret := plan.Secret(rec.Release, secrets)
	if secret == nil {
		return nil
	}
	return c.write(ctx, "create the Secret "+secret.Name, func(ctx context.Context) error {
		_, err := c.client.CoreV1().Secrets(c.namespace).Create(ctx, secret, metav1.CreateOptions{FieldManager: release.Manager})
		if !apierrors.IsAlreadyExists(err) {
			return err
		}
		old, err := c.client.CoreV1().Secrets(c.namespace).Get(ctx, secret.Name, metav1.GetOptions{})
		if err == nil && !maps.EqualFunc(old.Data, secret.Data, bytes.Equal) {
			return fmt.Errorf("it exists with other values")
		}
		return err
	})
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

// DeleteColour deletes the Deployment of a colour.
func (c *Cluster) DeleteColour(ctx context.Context, colour release.Colour) error {
	name := c.names.Deployment(colour)
	return c.write(ctx, "delete the Deployment "+name, func(ctx context.Context) error {
		return gone(c.client.AppsV1().Deployments(c.namespace).Delete(ctx, name, metav1.DeleteOptions{}))
	})
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

func applyOptions() metav1.PatchOptions {
	return metav1.PatchOptions{FieldManager: release.Manager, Force: new(true)}
}

// applyBody encodes an object for a server-side apply: only what we decide,
// neither status nor what the server fills in.
func applyBody(object any) ([]byte, error) {
	switch o := object.(type) {
	case *appsv1.Deployment, *corev1.Service:
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
	default:
		return nil, fmt.Errorf("%T is not applied", object)
	}
}

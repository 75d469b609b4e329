package kube

import (
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	k8stesting "k8s.io/client-go/testing"

	"cutover.dev/ci/plan"
	"cutover.dev/ci/release"
)

var space = &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}

func TestObserveTellsThatThereIsNoNamespace(t *testing.T) {
	c, _ := newFake(t)
	seen, err := c.Observe(t.Context())
	require.NoError(t, err)
	require.False(t, seen.NamespaceExists)
}

func TestObserveSeesNothingInAnEmptyNamespace(t *testing.T) {
	c, client := newFake(t, space)
	seen, err := c.Observe(t.Context())
	require.NoError(t, err)
	require.True(t, seen.NamespaceExists)
	require.Nil(t, seen.Record)
	require.Nil(t, seen.Service)
	require.Equal(t, release.None, seen.LiveColour())
	require.Empty(t, writes(client), "it only reads")
}

func TestObserveSeesWhatServes(t *testing.T) {
	service := liveService(names.Selector(release.Green))
	owns := func(manager, fields string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, FieldsV1: metav1.NewFieldsV1(fields)}
	}
	const selector = `{"f:spec": {"f:selector": {".": {}, "f:cutover.dev/colour": {}}}}`
	service.ManagedFields = []metav1.ManagedFieldsEntry{
		owns("cutover", selector), owns("kubectl", selector), owns("cutover", selector),
		owns("other key", `{"f:spec": {"f:selector": {"f:cutover.dev/serves": {}}}}`), owns("annotator", `{"f:metadata": {"f:annotations": {}}}`), owns("broken", `{`), {Manager: "empty"},
	}
	stranger := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "worker", Namespace: namespace, Labels: map[string]string{release.LabelApp: "notes", release.LabelColour: "green"}}}
	c, client := newFake(t, space, service, stranger)
	rec := configured()
	rec.Release.ID, rec.Release.Image = "", "image@sha256:1"
	store := NewStore(c)
	require.NoError(t, store.Begin(t.Context(), rec))
	rec.Serving, rec.Outcome = release.Green, release.Succeeded
	require.NoError(t, store.Save(t.Context(), rec))
	require.NoError(t, c.CreateConfig(t.Context(), rec, map[string]string{"TOKEN": "hunter2"}))
	d := plan.Deployment(rec.Release, release.Green)
	d.Spec.Replicas = new(int32(3))
	d.Status.ReadyReplicas = 2
	require.NoError(t, client.Tracker().Add(d))
	client.ClearActions()

	seen, err := c.Observe(t.Context())
	require.NoError(t, err)
	require.Equal(t, release.Green, seen.LiveColour())
	require.Equal(t, "r1", seen.Live().ID)
	require.Equal(t, []string{"cutover", "kubectl"}, seen.ServiceWriters)
	require.Equal(t, map[release.Colour]int{release.Green: 3}, seen.Size)
	require.Equal(t, map[release.Colour]int{release.Green: 2}, seen.Ready)
	require.Equal(t, map[release.Colour]string{release.Green: "image@sha256:1"}, seen.Image)
	require.Equal(t, map[string]string{"TOKEN": "hunter2"}, seen.LiveSecrets)
	require.Empty(t, writes(client), "it only reads")
}

func TestAServiceWithoutASelectorIsNotNoService(t *testing.T) {
	c, _ := newFake(t, space, liveService(nil))
	seen, err := c.Observe(t.Context())
	require.NoError(t, err)
	require.NotNil(t, seen.Service)
}

func TestTheRightToReadNamespacesIsNotNeeded(t *testing.T) {
	c, client := newFake(t)
	client.PrependReactor("get", "namespaces", func(k8stesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(corev1.Resource("namespaces"), namespace, nil)
	})
	seen, err := c.Observe(t.Context())
	require.NoError(t, err)
	require.True(t, seen.NamespaceExists)
}

package kube

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	k8stesting "k8s.io/client-go/testing"

	"cutover.dev/ci/plan"
	"cutover.dev/ci/release"
)

// configured is a release with configuration and secrets.
func configured() *release.Record {
	rec := raised()
	rec.Release.Env.Env = map[string]string{"LOG_LEVEL": "info"}
	rec.Release.Env.Secrets.Required = []string{"TOKEN"}
	return rec
}

func TestConfigurationIsMadeOnceAndMayBeMadeAgain(t *testing.T) {
	c, client := newFake(t)
	for range 2 {
		require.NoError(t, c.CreateConfig(t.Context(), configured(), map[string]string{"TOKEN": "hunter2"}))
	}
	require.Equal(t, map[string]string{"LOG_LEVEL": "info"}, configMap(t, client, "notes-r2").Data)
	secret, err := client.CoreV1().Secrets(namespace).Get(t.Context(), "notes-r2", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, "hunter2", string(secret.Data["TOKEN"]))
}

func TestConfigurationWithOtherValuesIsAnErrorThatNamesNone(t *testing.T) {
	c, _ := newFake(t)
	require.NoError(t, c.CreateConfig(t.Context(), configured(), map[string]string{"TOKEN": "hunter2"}))
	err := c.CreateConfig(t.Context(), configured(), map[string]string{"TOKEN": "hunter3"})
	require.EqualError(t, err, "create the Secret notes-r2: it exists with other values")
	other := configured()
	other.Release.Env.Env = map[string]string{"LOG_LEVEL": "debug"}
	require.EqualError(t, c.CreateConfig(t.Context(), other, map[string]string{"TOKEN": "hunter2"}), "create the ConfigMap notes-r2: it exists with other values")
}

func TestAReleaseIsDeletedWithAllThatBelongsToIt(t *testing.T) {
	c, client := newFake(t, job("", ""))
	require.NoError(t, c.CreateConfig(t.Context(), configured(), map[string]string{"TOKEN": "hunter2"}))
	for range 2 { // the second time there is nothing any more
		require.NoError(t, c.DeleteRelease(t.Context(), "r2"))
		_, err := client.CoreV1().ConfigMaps(namespace).Get(t.Context(), "notes-r2", metav1.GetOptions{})
		require.True(t, apierrors.IsNotFound(err))
		_, err = client.CoreV1().Secrets(namespace).Get(t.Context(), "notes-r2", metav1.GetOptions{})
		require.True(t, apierrors.IsNotFound(err))
		_, err = client.BatchV1().Jobs(namespace).Get(t.Context(), "notes-r2-migrate", metav1.GetOptions{})
		require.True(t, apierrors.IsNotFound(err))
	}
}

func TestDeletingWhatIsGoneIsDone(t *testing.T) {
	c, _ := newFake(t)
	require.NoError(t, c.DeletePreview(t.Context()))
	require.NoError(t, c.DeleteColour(t.Context(), release.Green))
	require.NoError(t, c.StopAgent(t.Context()))
	require.NoError(t, c.Scale(t.Context(), release.Green, 0))
	require.Error(t, c.Scale(t.Context(), release.Green, 2), "but nothing cannot be scaled up")
}

func TestScaleAsksTheScaleSubresource(t *testing.T) {
	c, client := newFake(t)
	var patch k8stesting.PatchAction
	client.PrependReactor("patch", "deployments", func(a k8stesting.Action) (bool, runtime.Object, error) {
		patch = a.(k8stesting.PatchAction)
		return true, &appsv1.Deployment{}, nil
	})
	require.NoError(t, c.Scale(t.Context(), release.Blue, 0))
	require.Equal(t, "scale", patch.GetSubresource())
	require.Equal(t, "notes-blue", patch.GetName())
	require.JSONEq(t, `{"spec": {"replicas": 0}}`, string(patch.GetPatch()))
}

func TestWhatIsAppliedHoldsNoStatus(t *testing.T) {
	for _, o := range []object{plan.Deployment(configured().Release, release.Green), plan.PreviewService(configured().Release, release.Green)} {
		body, err := applyBody(o)
		require.NoError(t, err)
		var fields map[string]any
		require.NoError(t, json.Unmarshal(body, &fields))
		require.NotContains(t, fields, "status")
		require.NotEmpty(t, fields["kind"])
		require.NotEmpty(t, fields["apiVersion"])
	}
}

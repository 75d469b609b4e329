package kube

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"cutover.dev/ci/release"
)

var names = release.Names{App: "notes"}

func liveService(selector map[string]string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "notes", Namespace: namespace, ResourceVersion: "7"}, Spec: corev1.ServiceSpec{Selector: selector}}
}

func selector(t *testing.T, client *fake.Clientset) map[string]string {
	t.Helper()
	s, err := client.CoreV1().Services(namespace).Get(t.Context(), "notes", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	require.NoError(t, err)
	return s.Spec.Selector
}

func TestTheSelectorIsSwitchedByOneWrite(t *testing.T) {
	c, client := newFake(t, liveService(names.Selector(release.Blue)))
	require.NoError(t, c.Select(t.Context(), record("A"), release.Green, release.Blue))
	require.Equal(t, names.Selector(release.Green), selector(t, client))
	require.Equal(t, []string{"patch services"}, writes(client))
}

func TestTheWriteTestsWhatItReplaces(t *testing.T) {
	patch, err := selectorPatch("7", names.Selector(release.Blue), names.Selector(release.Green))
	require.NoError(t, err)
	require.JSONEq(t, `[
		{"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
		{"op": "test", "path": "/spec/selector", "value": {"cutover.dev/serves": "notes", "cutover.dev/colour": "blue"}},
		{"op": "replace", "path": "/spec/selector", "value": {"cutover.dev/serves": "notes", "cutover.dev/colour": "green"}}
	]`, string(patch))
}

func TestSwitchingToWhatIsSelectedWritesNothing(t *testing.T) {
	c, client := newFake(t, liveService(names.Selector(release.Green)))
	require.NoError(t, c.Select(t.Context(), record("A"), release.Green, release.Blue))
	require.NoError(t, c.Select(t.Context(), record("A"), release.Green, release.None))
	require.Empty(t, writes(client))
}

func TestTheFirstSwitchCreatesTheService(t *testing.T) {
	c, client := newFake(t)
	require.NoError(t, c.Select(t.Context(), record("A"), release.Blue, release.None))
	require.Equal(t, names.Selector(release.Blue), selector(t, client))
	require.Equal(t, []string{"create services"}, writes(client))
}

func TestSwitchingToNothingDeletesTheServiceAndMayBeRepeated(t *testing.T) {
	c, client := newFake(t, liveService(names.Selector(release.Blue)))
	for range 2 {
		require.NoError(t, c.Select(t.Context(), record("A"), release.None, release.Blue))
		require.Nil(t, selector(t, client))
	}
	require.Equal(t, []string{"delete services"}, writes(client))
}

func TestAForeignSelectorIsNeverReplaced(t *testing.T) {
	foreign := map[string]string{"app": "notes"}
	for _, way := range [][2]release.Colour{
		{release.Blue, release.Green}, {release.Green, release.Blue}, {release.None, release.Blue}, {release.Blue, release.None},
	} {
		c, client := newFake(t, liveService(foreign))
		err := c.Select(t.Context(), record("A"), way[1], way[0])
		require.ErrorContains(t, err, "selects map[app:notes]", "%v", way)
		require.Equal(t, foreign, selector(t, client))
		require.Empty(t, writes(client))
	}
}

func TestAServiceThatIsGoneIsNotMadeAnewBySwitchingColours(t *testing.T) {
	c, client := newFake(t)
	require.True(t, apierrors.IsNotFound(c.Select(t.Context(), record("A"), release.Green, release.Blue)))
	require.Empty(t, writes(client))
}

func TestWhileTheColoursOverlapTheSelectorLeavesTheColourOpen(t *testing.T) {
	c, client := newFake(t, liveService(names.Selector(release.Blue)))
	require.NoError(t, c.Select(t.Context(), record("A"), release.Both, release.Blue))
	require.Equal(t, map[string]string{"cutover.dev/serves": "notes"}, selector(t, client))
	require.NoError(t, c.Select(t.Context(), record("A"), release.Green, release.Blue, release.Both))
	require.Equal(t, names.Selector(release.Green), selector(t, client))
	require.NoError(t, c.Select(t.Context(), record("A"), release.Blue, release.Green, release.Both), "and back")
	require.Equal(t, names.Selector(release.Blue), selector(t, client))
}

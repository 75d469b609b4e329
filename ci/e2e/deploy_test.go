//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"cutover.dev/ci/outcome"
	"cutover.dev/ci/release"
)

func TestEqualArgumentsReallyActEveryTime(t *testing.T) {
	t.Parallel()
	s := newStage(t, "notes-e2e-again")

	require.Zero(t, deploy(t, s, "1", "--run-id=ci-7").Code)
	first := record(t, s)
	assert.Equal(t, release.Succeeded, first.Outcome)
	assert.Equal(t, int64(2), first.Release.Schema)
	serves(t, s, "1")

	again := deploy(t, s, "1", "--run-id=ci-7")
	require.Zero(t, again.Code)
	assert.Contains(t, again.Stdout, "already live, nothing to do")
	second := record(t, s)
	assert.NotEqual(t, first.Run, second.Run, "the second call must be a run of its own")
	assert.Equal(t, release.Unchanged, second.Outcome)
	assert.Equal(t, first.Release.ID, second.Release.ID)

	status := call(t, s, append([]string{"status", "--env=dev"}, s.Cluster()...)...)
	require.Zero(t, status.Code)
	assert.Contains(t, status.Stdout, first.Release.ID+", version 1, on blue: 2 of 2 pods ready")

	require.Zero(t, deploy(t, s, "2").Code)
	serves(t, s, "2")
	require.Zero(t, deploy(t, s, "1").Code)
	serves(t, s, "1")
	assert.Equal(t, release.Succeeded, record(t, s).Outcome)
}

// A release that never becomes ready is never switched to, and leaves nothing
// behind that the next deploy could trip over. All the while, what runs in
// Dagger's containers reaches neither pods nor Services: whatever asks the
// application asks from inside the cluster.
func TestReleaseThatNeverBecomesReadyLeavesTrafficAlone(t *testing.T) {
	t.Parallel()
	s := newStage(t, "notes-e2e-broken")
	if os.Getuid() == 0 {
		blockServiceNetwork(t)
		service, err := s.Client.CoreV1().Services(s.Namespace).Get(t.Context(), "postgres", metav1.GetOptions{})
		require.NoError(t, err)
		reach := exec.Command("dagger", "core", "--silent", "container", "from", "--address=golang:1.26", "with-env-variable", "--name=CALL", "--value="+t.Name()+s.Password,
			"with-exec", "--args=bash,-c,exec 3<>/dev/tcp/"+service.Spec.ClusterIP+"/5432", "stdout")
		require.Error(t, reach.Run(), "a container of Dagger must not reach a Service in this test")
	}
	require.Zero(t, deploy(t, s, "1").Code)
	before := record(t, s)

	bad := deploy(t, s, "2", "--build-arg=FAULT=never-ready")
	assert.Equal(t, int(outcome.RolledBack), bad.Code)
	assert.Contains(t, bad.Error(), "0 of 2 pods are ready")
	assert.Contains(t, bad.Error(), "version 1) serves on blue, as before")
	assert.Contains(t, bad.Error(), "next:")
	rec := record(t, s)
	assert.Equal(t, release.RolledBack, rec.Outcome)
	assert.Equal(t, before.Release.ID, rec.ServingRelease().ID)
	serves(t, s, "1")

	names := release.Names{App: "notes"}
	idle, err := s.Client.AppsV1().Deployments(s.Namespace).Get(t.Context(), names.Deployment(rec.Colour), metav1.GetOptions{})
	require.NoError(t, err)
	assert.Zero(t, *idle.Spec.Replicas)
	_, err = s.Client.CoreV1().Services(s.Namespace).Get(t.Context(), names.Preview(), metav1.GetOptions{})
	assert.True(t, apierrors.IsNotFound(err), "the preview Service must be gone")
	_, err = s.Client.CoreV1().Secrets(s.Namespace).Get(t.Context(), names.Config(rec.Release.ID), metav1.GetOptions{})
	assert.True(t, apierrors.IsNotFound(err), "the release's Secret must be gone")

	require.Zero(t, deploy(t, s, "3").Code)
	serves(t, s, "3")
}

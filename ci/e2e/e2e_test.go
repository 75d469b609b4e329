//go:build e2e

// Package e2e drives cutover as its users do, by the dagger command, and looks
// at what it did to a real cluster. It needs KUBECONFIG and REGISTRY, and an
// engine that `dagger` finds; `make test` starts the lab for that.
package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"cutover.dev/ci/e2e/stage"
	"cutover.dev/ci/release"
)

// limit bounds one call of dagger, so that a hanging one is a failure and not
// the end of the whole run.
const limit = 20 * time.Minute

func TestMain(m *testing.M) {
	s, err := stage.Open(".", "")
	if err == nil {
		err = s.Clear(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// repositoryRoot is where dagger.json is.
func repositoryRoot(t *testing.T) string {
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	return root
}

// newStage sets up a namespace with a database, and an application repository
// that is deployed to it: the example, without git, in a folder of its own.
func newStage(t *testing.T, namespace string) *stage.Stage {
	s, err := stage.Open(repositoryRoot(t), namespace)
	require.NoError(t, err)
	require.NoError(t, s.Copy(t.TempDir()))
	require.NoError(t, s.Set(t.Context()))
	t.Cleanup(func() {
		if !t.Failed() { // what a failed test left is worth a look
			assert.NoError(t, s.Strike(context.Background()))
		}
	})
	return s
}

// edit changes envs/dev.yaml of the stage's repository.
func edit(t *testing.T, s *stage.Stage, from, to string) {
	require.NoError(t, s.Edit(stage.Edit{From: from, To: to}))
}

// call calls a function, and makes sure that nothing secret was printed.
func call(t *testing.T, s *stage.Stage, args ...string) stage.Call {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	c, err := s.Dagger(ctx, nil, args...)
	require.NoError(t, err)
	t.Logf("dagger call %s: exit code %d after %.1f s", strings.Join(args, " "), c.Code, c.Took.Seconds())
	for name, secret := range secrets(t, s) {
		assert.False(t, strings.Contains(c.Output(), secret), "%s was printed", name)
	}
	return c
}

// secrets are the values that must never be printed, by what they are.
func secrets(t *testing.T, s *stage.Stage) map[string]string {
	config, err := clientcmd.LoadFromFile(s.Account())
	require.NoError(t, err)
	all := map[string]string{"the database's password": s.Password}
	for name, user := range config.AuthInfos {
		if user.Token != "" {
			all["the token of "+name] = user.Token
		}
		for i, line := range strings.Split(string(user.ClientKeyData), "\n") {
			if len(line) > 20 && !strings.HasPrefix(line, "-----") {
				all[fmt.Sprintf("line %d of the key of %s", i+1, name)] = line
			}
		}
	}
	require.Greater(t, len(all), 1, "a kubeconfig without any secret proves nothing")
	return all
}

// deploy deploys a version with the stage's own cluster and secrets.
func deploy(t *testing.T, s *stage.Stage, version string, more ...string) stage.Call {
	t.Helper()
	args := append([]string{"deploy", "--env=dev", "--version=" + version}, s.Cluster()...)
	return call(t, s, append(append(args, s.Secrets()...), more...)...)
}

func record(t *testing.T, s *stage.Stage) *release.Record {
	t.Helper()
	rec, err := s.Record(t.Context())
	require.NoError(t, err)
	return rec
}

// serves asserts that the version is what the live Service leads to, by the
// selector, the Deployment behind it and its pods.
func serves(t *testing.T, s *stage.Stage, version string) {
	t.Helper()
	rec := record(t, s)
	live := rec.ServingRelease()
	require.NotNil(t, live)
	assert.Equal(t, version, live.Version)
	names := release.Names{App: "notes"}
	service, err := s.Client.CoreV1().Services(s.Namespace).Get(t.Context(), names.Live(), metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, names.Selector(rec.Serving), service.Spec.Selector)
	d, err := s.Client.AppsV1().Deployments(s.Namespace).Get(t.Context(), names.Deployment(rec.Serving), metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, live.Image, d.Spec.Template.Spec.Containers[0].Image)
	assert.Equal(t, *d.Spec.Replicas, d.Status.ReadyReplicas)
}

// blockServiceNetwork keeps what runs in Dagger's containers from reaching pods
// and Services, as it would be with a cluster that is somewhere else.
func blockServiceNetwork(t *testing.T) {
	const dagger = "10.87.0.0/16"
	for _, network := range []string{"10.96.0.0/16", "10.244.0.0/16"} {
		rule := []string{"FORWARD", "--source", dagger, "--destination", network, "--jump", "REJECT"}
		require.NoError(t, exec.Command("iptables", append([]string{"--insert"}, rule...)...).Run())
		t.Cleanup(func() {
			assert.NoError(t, exec.Command("iptables", append([]string{"--delete"}, rule...)...).Run())
		})
	}
}

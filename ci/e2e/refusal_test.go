//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"cutover.dev/ci/e2e/stage"
	"cutover.dev/ci/outcome"
	"cutover.dev/ci/release"
)

// Every mistake ends in a sentence that names it, the command to type next and
// an exit code that says that nothing was changed; and nothing was.
func TestMistakesChangeNothingAndSayWhatToType(t *testing.T) {
	t.Parallel()
	s := newStage(t, "notes-e2e-refused")
	require.Zero(t, deploy(t, s, "1").Code)
	head := headVersion(t, s)

	elsewhere := filepath.Join(t.TempDir(), "kubeconfig")
	kubeconfig, err := os.ReadFile(s.Account())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(elsewhere, unreachable(t, kubeconfig), 0o600))
	absent := "--image=" + s.Registry + "/notes@sha256:" + strings.Repeat("0123456789abcdef", 4)

	tests := []struct {
		name     string
		from, to string // an edit of envs/dev.yaml
		args     []string
		code     outcome.Code
		says     []string
	}{
		{name: "unknown environment", args: []string{"deploy", "--env=nope"}, code: outcome.Refused,
			says: []string{`there is no environment "nope"`, "dev, prod, staging"}},
		{name: "unknown key", from: "replicas: 2", to: "replica: 2", code: outcome.Refused,
			says: []string{"envs/dev.yaml:", `unknown key "replica"`, "replicas"}},
		{name: "wrong type", from: "replicas: 2", to: "replicas: two", code: outcome.Refused,
			says: []string{"envs/dev.yaml:", "replicas", "two"}},
		{name: "no kubeconfig", args: []string{"deploy", "--env=dev"}, code: outcome.Refused,
			says: []string{"no kubeconfig was given", "--kubeconfig="}},
		{name: "kubeconfig that is not there", args: []string{"deploy", "--env=dev", "--kubeconfig=file:///nowhere/kubeconfig"}, code: outcome.Refused,
			says: []string{"the kubeconfig cannot be read", "/nowhere/kubeconfig"}},
		{name: "unreachable API server", args: []string{"deploy", "--env=dev", "--version=2", "--kubeconfig=file://" + elsewhere}, code: outcome.Failed,
			says: []string{"the API server 127.0.0.1:1 cannot be used"}},
		{name: "image that cannot be pulled", args: []string{"deploy", "--env=dev", "--version=2", absent}, code: outcome.Refused,
			says: []string{"cannot be pulled", "0123456789abcdef"}},
		{name: "secrets that are not required", from: "required: [DATABASE_URL]", to: "required: [DATABASE_URL, API_KEY]", code: outcome.Refused,
			says: []string{"API_KEY"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.from != "" {
				edit(t, s, test.from, test.to)
				defer edit(t, s, test.to, test.from)
			}
			args := test.args
			if args == nil {
				args = []string{"deploy", "--env=dev", "--version=2"}
			}
			if !strings.Contains(strings.Join(args, " "), "--kubeconfig") && test.name != "no kubeconfig" {
				args = append(args, s.Cluster()...)
			}
			c := call(t, s, append(args, s.Secrets()...)...)
			assert.Equal(t, int(test.code), c.Code)
			for _, words := range append(test.says, "next:") {
				assert.Contains(t, c.Error(), words)
			}
			assert.Equal(t, head, headVersion(t, s), "the record must be as it was")
			serves(t, s, "1")
		})
	}
}

// What only a pod in the cluster can tell is told before anything begins, all at
// once; and the pod is gone.
func TestAPlanTellsWhatOnlyAPodCanTell(t *testing.T) {
	t.Parallel()
	s := newStage(t, "notes-e2e-look")
	require.NoError(t, s.Build(t.Context()))
	v, err := s.Publish(t.Context(), "1")
	require.NoError(t, err)
	wrong := filepath.Join(t.TempDir(), "secrets.env")
	require.NoError(t, os.WriteFile(wrong, []byte("DATABASE_URL=postgres://notes:wrong-password@postgres:5432/notes?sslmode=disable\n"), 0o600))
	plan := func(more ...string) stage.Call {
		p, err := s.Cutover(t.Context(), "plan", append(append(s.WithSecrets(), "--version=1", "--image="+v.Image, "--bundle="+v.Bundle,
			"--migrations="+filepath.Join(s.Source, "example/migrations")), more...)...)
		require.NoError(t, err)
		c, err := p.Wait()
		require.NoError(t, err)
		return c
	}
	good := plan()
	require.Zero(t, good.Code, good.Stderr)
	assert.Contains(t, good.Stdout, "migrations  schema is at 0; to apply: 00001_notes.sql, 00002_notes_created_at_index.sql")
	assert.Contains(t, good.Stderr, "a short-lived pod looks")

	bad := plan("--secrets="+wrong, "--image=127.0.0.1:1/notes@sha256:"+strings.Repeat("0123456789abcdef", 4))
	require.Equal(t, int(outcome.Refused), bad.Code)
	assert.Contains(t, bad.Stderr, "the cluster cannot pull the image 127.0.0.1:1/notes@sha256:")
	assert.Contains(t, bad.Stderr, "whether the database can be migrated is not known: the database cannot be used")
	assert.Contains(t, bad.Stderr, "password authentication failed")
	assert.NotContains(t, bad.Output(), "wrong-password")

	require.NoError(t, s.AwaitPods(t.Context(), func(pods []*corev1.Pod) bool { return len(pods) == 0 }))
	require.Eventually(t, func() bool {
		secrets, err := s.Client.CoreV1().Secrets(s.Namespace).List(t.Context(), metav1.ListOptions{LabelSelector: release.LabelApp})
		require.NoError(t, err)
		return len(secrets.Items) == 0
	}, time.Minute, 200*time.Millisecond, "its Secret goes with it")
}

// headVersion tells whether anything was written to the record.
func headVersion(t *testing.T, s *stage.Stage) string {
	t.Helper()
	head, err := s.Client.CoreV1().ConfigMaps(s.Namespace).Get(t.Context(), "notes-cutover", metav1.GetOptions{})
	require.NoError(t, err)
	return head.ResourceVersion
}

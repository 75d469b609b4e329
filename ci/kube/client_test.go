package kube

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"cutover.dev/ci/outcome"
)

const kubeconfig = `apiVersion: v1
kind: Config
current-context: lab
clusters: [{name: lab, cluster: {server: "https://10.0.0.1:6443"}}]
contexts: [{name: lab, context: {cluster: lab, user: ann}}]
users:
- {name: ann, user: {token: the-token}}
- {name: carl, user: {username: carl, password: the-password}}
- {name: bob, user: {client-key-data: dGhlLWtleQ==, auth-provider: {name: oidc, config: {refresh-token: the-refresh}}}}
`

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestConnectReadsTheCurrentContextAndEverySecret(t *testing.T) {
	cfg, secrets, err := Connect(write(t, kubeconfig))
	require.NoError(t, err)
	require.Equal(t, "https://10.0.0.1:6443", cfg.Host)
	require.Equal(t, "the-token", cfg.BearerToken)
	require.Subset(t, secrets, []string{
		"the-token", "the-password", "the-key", base64.StdEncoding.EncodeToString([]byte("the-key")), "the-refresh",
	}, "also those of users that are not used")
}

func TestConnectRefusesWhatCannotBeUsed(t *testing.T) {
	for want, path := range map[string]string{
		"no kubeconfig was given":               "",
		"the kubeconfig cannot be read":         filepath.Join(t.TempDir(), "nope"),
		"the kubeconfig is not one":             write(t, "kind: [Config"),
		"the kubeconfig has no current context": write(t, "apiVersion: v1\nkind: Config\n"),
		"the kubeconfig cannot be used":         write(t, "apiVersion: v1\nkind: Config\ncurrent-context: nope\n"),
	} {
		_, _, err := Connect(path)
		require.ErrorContains(t, err, want)
		require.Equal(t, outcome.Refused, outcome.CodeOf(err), want)
	}
}

func TestSecretsAreKnownAlsoWhenAKubeconfigCannotBeUsed(t *testing.T) {
	_, secrets, err := Connect(write(t, "apiVersion: v1\nkind: Config\nusers: [{name: ann, user: {token: the-token}}]\n"))
	require.Error(t, err)
	require.Contains(t, secrets, "the-token")
}

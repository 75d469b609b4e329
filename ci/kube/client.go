package kube

import (
	"encoding/base64"
	"os"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"cutover.dev/ci/outcome"
)

// Client limits: the run watches instead of polling, so it sends few requests
// and must never be slowed by its own limiter.
const (
	qps   = 50
	burst = 100
)

// Connect reads a kubeconfig file and returns how to reach its current context's
// cluster, and every secret that stands in it, for redaction.
func Connect(path string) (cfg *rest.Config, secrets []string, err error) {
	const next = "dagger call … --kubeconfig=file://$HOME/.kube/config"
	if path == "" {
		return nil, nil, outcome.Refusef(next, "no kubeconfig was given")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, outcome.Refusef(next, "the kubeconfig cannot be read: %w", err)
	}
	raw, err := clientcmd.Load(data)
	if err != nil {
		return nil, nil, outcome.Refusef(next, "the kubeconfig is not one: %w", err)
	}
	secrets = secretsOf(raw)
	if raw.CurrentContext == "" {
		return nil, secrets, outcome.Refusef("kubectl config use-context NAME", "the kubeconfig has no current context")
	}
	cfg, err = clientcmd.NewDefaultClientConfig(*raw, nil).ClientConfig()
	if err != nil {
		return nil, secrets, outcome.Refusef("kubectl config view --minify --flatten --raw > FILE", "the kubeconfig cannot be used: %w", err)
	}
	cfg.QPS, cfg.Burst = qps, burst
	cfg.UserAgent = "cutover"
	return cfg, secrets, nil
}

// secretsOf returns all that grants access: tokens, passwords and keys, keys
// both as PEM and as the base64 in which they stand in the file.
func secretsOf(raw *clientcmdapi.Config) []string {
	var out []string
	for _, user := range raw.AuthInfos {
		out = append(out, user.Token, user.Password)
		if len(user.ClientKeyData) > 0 {
			out = append(out, string(user.ClientKeyData), base64.StdEncoding.EncodeToString(user.ClientKeyData))
		}
		if user.AuthProvider != nil {
			for _, v := range user.AuthProvider.Config {
				out = append(out, v)
			}
		}
	}
	return out
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// finishCluster waits until the node takes pods, and gives the cluster its DNS.
func (l *lab) finishCluster(ctx context.Context) (changed bool, err error) {
	if _, err := kubectl(ctx, l.dnsManifest(), "apply", "--server-side", "--force-conflicts", "-f", "-"); err != nil {
		return false, err
	}
	for _, wait := range [][]string{
		{"wait", "--for=create", "serviceaccount/default", "--timeout=60s"}, // no pod can be made before
		{"wait", "--for=create", "node/" + node, "--timeout=60s"},
		{"wait", "--for=condition=Ready", "node/" + node, "--timeout=60s"},
	} {
		if _, err := kubectl(ctx, "", wait...); err != nil {
			return false, err
		}
	}
	const name = "kubernetes.default.svc.cluster.local"
	deadline := time.Now().Add(30 * time.Second)
	for {
		attempt, cancel := context.WithTimeout(ctx, 2*time.Second)
		addresses, err := lookup(attempt, name)
		cancel()
		if err == nil && slices.Contains(addresses, apiService) {
			return true, nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return false, fmt.Errorf("everything runs, but %s does not resolve through %s: %v %v; look at %s and %s",
				name, dnsService, addresses, err, l.coredns.log(), l.proxy.log())
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// kubectl runs kubectl as the cluster's admin and returns what it printed.
func kubectl(ctx context.Context, input string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, in("bin", "kubectl"), append([]string{"--kubeconfig", in("admin.kubeconfig")}, args...)...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("`kubectl %s` failed: %s", strings.Join(args, " "), strings.TrimSpace(string(exit.Stderr)))
	}
	return string(out), err
}

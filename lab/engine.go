package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// engineSocket is where the engine listens whatever it is told besides.
const engineSocket = "/run/dagger/engine.sock"

func (l *lab) engineProgram() *program {
	return &program{
		name: "dagger-engine",
		path: in("bin", "dagger-engine"),
		args: []string{
			"--config", in("etc", "engine.toml"),
			"--oci-cni-binary-dir", in("cni", "bin"),
			"--network-cidr", engineRange,
		},
		files:         []string{in("etc", "engine.toml")},
		ready:         accepts(engineSocket),
		prepare:       clearEngine,
		patience:      30 * time.Second,
		privateMounts: true, // it mounts a resolv.conf of its own over the machine's
	}
}

// startEngine tells the engine which image is its Go SDK, and how this machine's
// Go reaches modules.
func (l *lab) startEngine(ctx context.Context) (bool, error) {
	settings, err := goProxySettings(ctx)
	if err != nil {
		return false, err
	}
	l.engine.env = []string{"DAGGER_GO_SDK_MANIFEST_DIGEST=" + l.sdk}
	for _, setting := range settings {
		if strings.HasPrefix(setting, "GOPROXY=") {
			l.engine.env = append(l.engine.env, "_DAGGER_ENGINE_SYSTEMENV_"+setting)
		}
	}
	return l.engine.start(ctx)
}

// engineConfig sends the pulls from Docker Hub to the lab's registry, and lets
// the engine speak plain HTTP with it, under both its names.
func engineConfig(host string) string {
	return fmt.Sprintf(`insecure-entitlements = ["security.insecure"]

[worker.oci]
  defaultCgroupParent = %q

[registry."docker.io"]
  mirrors = ["%[2]s:5000"]

[registry."%[2]s:5000"]
  http = true

[registry."127.0.0.1:5000"]
  http = true
`, cgroup, host)
}

// clearEngine clears what an engine that was killed left: the processes of its
// containers, their rules and their addresses.
func clearEngine(ctx context.Context) error {
	if err := killContained("buildkit"); err != nil {
		return err
	}
	if err := removeRules(ctx, engineRange); err != nil {
		return err
	}
	return removeEngineState()
}

// removeEngineState removes the network files that the engine and its plugins
// keep outside the lab's folders.
func removeEngineState() error {
	paths := []string{"/run/containers/cni/dnsname/dagger", "/var/lib/cni/networks/dagger"}
	results, _ := filepath.Glob("/var/lib/cni/results/dagger-*")
	for _, path := range append(paths, results...) {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// engineSocket is where the engine listens whatever it is told besides.
const engineSocket = "/run/dagger/engine.sock"

// The engine installs the certificates of this folder into every container, by
// running update-ca-certificates there before and after each command: twice six
// seconds here. The lab's images have them already, so the engine sees none.
const ownCertificates = `
d=/usr/local/share/ca-certificates
[ ! -d $d ] || mount -t tmpfs -o size=4k none $d || exit
exec "$0" "$@"`

func (l *lab) engineProgram() *program {
	return &program{
		name: "dagger-engine",
		path: "/bin/sh",
		args: []string{
			"-c", ownCertificates, in("bin", "dagger-engine"),
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
	for _, path := range []string{"/run/containers/cni/dnsname/dagger", "/var/lib/cni/networks/dagger"} {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return removeResults(home)
}

// removeResults removes what the CNI plugins noted about containers whose
// network namespaces are below the folder.
func removeResults(folder string) error {
	notes, _ := filepath.Glob("/var/lib/cni/results/*")
	for _, path := range notes {
		data, err := os.ReadFile(path)
		if err == nil && bytes.Contains(data, []byte(`"`+folder+"/")) {
			err = os.Remove(path)
		}
		if err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}

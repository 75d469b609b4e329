package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// What the lab takes from Debian instead of compiling it.
var packages = []string{
	"ca-certificates", "conntrack", "containerd", "containernetworking-plugins",
	"debootstrap", "dnsmasq-base", "docker-registry", "etcd-server", "ethtool",
	"git", "iproute2", "iptables", "nftables", "prometheus", "runc", "socat",
}

// Debian starts the daemon of a package right after installing it, which would
// take the ports of the lab's own. A file here that ends with 101 forbids it.
const (
	policyFile = "/usr/sbin/policy-rc.d"
	policy     = "#!/bin/sh\n# Made by the cutover lab while it installs packages: no daemon may start.\nexit 101\n"
)

func installPackages(ctx context.Context) (bool, error) {
	missing, err := missingPackages(ctx)
	if err != nil || len(missing) == 0 {
		return false, err
	}
	busy("installing " + strings.Join(missing, " "))
	if err := forbidDaemons(); err != nil {
		return false, err
	}
	defer allowDaemons()
	for _, args := range [][]string{
		{"update"},
		append([]string{"install", "-y", "--no-install-recommends"}, missing...),
	} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if err := command(ctx, "apt-get", cmd); err != nil {
			return false, err
		}
	}
	return true, nil
}

func missingPackages(ctx context.Context) ([]string, error) {
	if _, err := exec.LookPath("dpkg-query"); err != nil {
		return nil, fmt.Errorf("the lab takes runc, containerd, etcd and others from Debian's packages and this machine has no dpkg; run it on Debian 12, or in a container with the `docker run --privileged` line in lab/README.md")
	}
	// It fails when one of them is unknown, and answers for the rest all the same.
	out, _ := exec.CommandContext(ctx, "dpkg-query", append([]string{"-W", "-f", "${Package} ${db:Status-Status}\n"}, packages...)...).Output()
	return missingFrom(string(out)), ctx.Err()
}

// missingFrom reads dpkg-query's lines of package and status.
func missingFrom(answer string) (missing []string) {
	installed := map[string]bool{}
	for _, line := range strings.Split(answer, "\n") {
		if name, ok := strings.CutSuffix(line, " installed"); ok {
			installed[name] = true
		}
	}
	for _, name := range packages {
		if !installed[name] {
			missing = append(missing, name)
		}
	}
	return missing
}

func forbidDaemons() error {
	if exists(policyFile) {
		return nil // the machine has a policy of its own, or ours of a run that was killed
	}
	return writeFile(policyFile, []byte(policy), 0o755)
}

// allowDaemons removes the policy if it is the lab's.
func allowDaemons() {
	if data, err := os.ReadFile(policyFile); err == nil && string(data) == policy {
		os.Remove(policyFile)
	}
}

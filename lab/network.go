package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A packet to a Service or a pod that no rule catches, because kube-proxy is not
// up yet or the pod is gone, would follow the default route out of the machine.
// sink is a bridge without ports: what is routed there ends there.
const sink = "lab0"

// podBridge is what the pods are plugged into.
const podBridge = "kube0"

var sysctls = []string{"net/ipv4/ip_forward", "net/bridge/bridge-nf-call-iptables"}

func (l *lab) prepareNetwork(ctx context.Context) (changed bool, err error) {
	if !exists("/proc/sys/net/bridge") {
		_ = run(ctx, "modprobe", "br_netfilter") // where it is built in, or not allowed, writing below tells
	}
	for _, name := range sysctls {
		set, err := setOne(name)
		if err != nil {
			return changed, err
		}
		changed = changed || set
	}
	if !exists("/sys/class/net/" + sink) {
		if err := run(ctx, "ip", "link", "add", sink, "type", "bridge"); err != nil {
			return changed, err
		}
		changed = true
	}
	if err := run(ctx, "ip", "link", "set", sink, "up"); err != nil {
		return changed, err
	}
	for _, network := range []string{serviceRange, podRange} {
		routed, err := route(ctx, network)
		if err != nil {
			return changed, err
		}
		changed = changed || routed
	}
	return changed, nil
}

// route leads a network to the sink, unless the machine has other plans for it.
func route(ctx context.Context, network string) (changed bool, err error) {
	out, err := exec.CommandContext(ctx, "ip", "route", "show", "exact", network).Output()
	if err != nil {
		return false, fmt.Errorf("cannot see this machine's routes: %v", err)
	}
	switch there := strings.TrimSpace(string(out)); {
	case there == "":
		return true, run(ctx, "ip", "route", "add", network, "dev", sink)
	case strings.Contains(there, "dev "+sink):
		return false, nil
	default:
		return false, fmt.Errorf("this machine routes %s somewhere already (`%s`) and the lab uses that range for itself; nothing was changed; run the lab on a machine without that route", network, there)
	}
}

// setOne sets a kernel setting to 1 and notes the value it had, for down.
func setOne(name string) (changed bool, err error) {
	path := filepath.Join("/proc/sys", name)
	old, err := os.ReadFile(path)
	if err != nil {
		return false, fmt.Errorf("cannot read the kernel setting %s: %v; the kernel lacks what pods need to talk to each other", name, err)
	}
	if strings.TrimSpace(string(old)) == "1" {
		return false, nil
	}
	if err := writeFile(in("run", "sysctl", name), old, 0o644); err != nil {
		return false, err
	}
	return true, os.WriteFile(path, []byte("1"), 0)
}

// hostAddress returns the machine's own address: the one that packets to the
// outside carry. No packet is sent to find it out.
func hostAddress() (string, error) {
	conn, err := net.Dial("udp4", "192.0.2.1:9")
	if err != nil {
		return "", errors.New("this machine has no address with a route to the outside; the lab needs one for the images and modules that it downloads; connect the machine to a network")
	}
	defer conn.Close()
	host := conn.LocalAddr().(*net.UDPAddr).IP
	for _, network := range []string{serviceRange, podRange, engineRange} {
		if _, taken, _ := net.ParseCIDR(network); taken.Contains(host) {
			return "", fmt.Errorf("this machine's address %s lies in %s, which the lab uses for itself; run it on a machine with another address", host, network)
		}
	}
	return host.String(), nil
}

// removeNetwork takes back all that the lab, its pods and its engine put into
// the machine's network.
func removeNetwork(ctx context.Context) error {
	var failed []error
	for _, link := range []string{podBridge, "dagger0", sink} {
		if !exists("/sys/class/net/" + link) {
			continue
		}
		// The other ends lie in namespaces that are gone or about to go.
		ports, _ := os.ReadDir("/sys/class/net/" + link + "/brif")
		for _, port := range ports {
			_ = run(ctx, "ip", "link", "delete", port.Name())
		}
		failed = append(failed, run(ctx, "ip", "link", "delete", link)) // and its routes with it
	}
	for _, network := range []string{podRange, engineRange} {
		failed = append(failed, removeRules(ctx, network))
	}
	for _, family := range []string{"ip", "ip6"} {
		if exec.CommandContext(ctx, "nft", "list", "table", family, "kube-proxy").Run() == nil {
			failed = append(failed, run(ctx, "nft", "delete", "table", family, "kube-proxy"))
		}
	}
	for _, name := range sysctls {
		if old, err := os.ReadFile(in("run", "sysctl", name)); err == nil {
			failed = append(failed, os.WriteFile(filepath.Join("/proc/sys", name), old, 0))
		}
	}
	failed = append(failed, os.RemoveAll(in("run", "sysctl")))
	return errors.Join(failed...)
}

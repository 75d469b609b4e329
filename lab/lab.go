package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// What the cluster and the engine are, on every machine.
const (
	node         = "lab"
	serviceRange = "10.96.0.0/16"
	podRange     = "10.244.0.0/16"
	nodePodRange = "10.244.0.0/24"
	engineRange  = "10.87.0.0/16" // Dagger's own default
	apiService   = "10.96.0.1"    // the first address of serviceRange
	dnsService   = "10.96.0.10"
	engineBridge = "10.87.0.1"
)

// A lab is this machine's lab: its long-running programs, in the order in which
// they start, and what they need to know of the machine.
type lab struct {
	host   string // the machine's own address
	source string // the folder of this program, with the tool modules in it
	goroot string
	sdk    string // digest of the Dagger Go SDK image, once it is built
	images []image

	registry, etcd, apiserver, controllers, scheduler *program
	containerd, kubelet, proxy, coredns, engine       *program
	targets, prometheus                               *program
}

func open() (*lab, error) {
	host, err := hostAddress()
	if err != nil {
		return nil, err
	}
	return at(host), nil
}

// at returns the lab of a machine with the given address.
func at(host string) *lab {
	l := &lab{host: host}
	l.registry = l.registryProgram()
	l.etcd = l.etcdProgram()
	l.apiserver = l.apiserverProgram()
	l.controllers = l.controllersProgram()
	l.scheduler = l.schedulerProgram()
	l.containerd = l.containerdProgram()
	l.kubelet = l.kubeletProgram()
	l.proxy = l.proxyProgram()
	l.coredns = l.corednsProgram()
	l.targets = l.targetsProgram()
	l.prometheus = l.prometheusProgram()
	l.engine = l.engineProgram()
	return l
}

// programs lists what runs, in the order in which it starts.
func (l *lab) programs() []*program {
	return []*program{
		l.registry, l.etcd, l.apiserver, l.controllers, l.scheduler,
		l.containerd, l.kubelet, l.proxy, l.coredns, l.targets, l.prometheus, l.engine,
	}
}

// start is the step that starts a program.
func (l *lab) start(p *program) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) { return p.start(ctx) }
}

// configure writes every certificate and configuration file. A program whose
// file changed is started anew by its own step.
func (l *lab) configure(context.Context) (changed bool, err error) {
	changed = !exists(in("admin.kubeconfig"))
	if err := l.writeCertificates(); err != nil {
		return false, err
	}
	for path, content := range map[string]string{
		in("etc", "registry.yml"):                            l.registryConfig(),
		in("etc", "containerd.toml"):                         l.containerdConfig(),
		in("etc", "kubelet.yaml"):                            l.kubeletConfig(),
		in("etc", "kube-proxy.yaml"):                         l.proxyConfig(),
		in("etc", "Corefile"):                                l.corefile(),
		in("etc", "prometheus.yml"):                          l.prometheusConfig(),
		in("etc", "engine.toml"):                             engineConfig(l.host),
		in("cni", "conf", "lab.conflist"):                    podNetwork,
		in("etc", "certs.d", "docker.io", "hosts.toml"):      l.mirror("https://registry-1.docker.io"),
		in("etc", "certs.d", l.host+":5000", "hosts.toml"):   l.mirror("http://" + l.host + ":5000"),
		in("etc", "certs.d", "127.0.0.1:5000", "hosts.toml"): l.mirror("http://" + l.host + ":5000"),
	} {
		old, _ := os.ReadFile(path)
		changed = changed || string(old) != content
		if err := writeFile(path, []byte(content), 0o644); err != nil {
			return changed, err
		}
	}
	return changed, linkPlugins()
}

// command runs a program to its end; its output goes to the named log, and the
// last lines of it into the error.
func command(ctx context.Context, log string, cmd *exec.Cmd) error {
	if err := os.MkdirAll(in("log"), 0o755); err != nil {
		return err
	}
	path := in("log", log+".log")
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("stopped by you during `%s`; run `go run ./lab up` to go on from here", cmd.Args[0])
		}
		return fmt.Errorf("`%s` failed (%v); what was done before it stays; its last words, from %s:\n%s",
			strings.Join(cmd.Args, " "), err, path, tail(path, 15))
	}
	return nil
}

// run runs a short program and puts what it said into the error.
func run(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("`%s %s` failed: %v: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// tail returns the last lines of a file, indented.
func tail(path string, lines int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return "    (no log)"
	}
	all := strings.Split(strings.TrimSpace(string(data)), "\n")
	all = all[max(0, len(all)-lines):]
	return "    " + strings.Join(all, "\n    ")
}

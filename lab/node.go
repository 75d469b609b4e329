package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
)

const (
	containerdState  = sockets + "/containerd"
	containerdSocket = containerdState + "/containerd.sock"
)

func (l *lab) containerdProgram() *program {
	return &program{
		name:  "containerd",
		path:  "/usr/bin/containerd",
		args:  []string{"--config", in("etc", "containerd.toml")},
		files: []string{in("etc", "containerd.toml")},
		ready: servesPods(containerdSocket),
	}
}

// containerdConfig: restrict_oom_score_adj, because without CAP_SYS_RESOURCE (in
// some containers and small virtual machines) no pod would start otherwise.
func (l *lab) containerdConfig() string {
	return fmt.Sprintf(`version = 2
root = "%s"
state = "%s"

[grpc]
  address = "%s"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "%s:5000/%s"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "%s"
    conf_dir = "%s"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "%s"

[plugins."io.containerd.internal.v1.opt"]
  path = "%s"
`, in("containerd"), containerdState, containerdSocket, l.host, pauseImage,
		in("cni", "bin"), in("cni", "conf"), in("etc", "certs.d"), in("containerd", "opt"))
}

// mirror sends containerd's pulls to the lab's registry first.
func (l *lab) mirror(server string) string {
	return fmt.Sprintf("server = %q\n\n[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", server, "http://"+l.host+":5000")
}

// podNetwork plugs pods into a bridge.
const podNetwork = `{
  "cniVersion": "0.4.0",
  "name": "cutover-lab",
  "plugins": [
    {
      "type": "bridge", "bridge": "` + podBridge + `", "isGateway": true, "ipMasq": true, "hairpinMode": true,
      "ipam": {
        "type": "host-local", "dataDir": "` + sockets + `/cni",
        "ranges": [[{"subnet": "` + nodePodRange + `"}]], "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}},
    {"type": "firewall"}
  ]
}
`

// linkPlugins makes one folder of Debian's CNI plugins and Dagger's own.
func linkPlugins() error {
	if err := os.MkdirAll(in("cni", "bin"), 0o755); err != nil {
		return err
	}
	plugins := map[string]string{"dnsname": in("bin", "dnsname")}
	for _, name := range []string{"bridge", "firewall", "host-local", "loopback", "portmap"} {
		plugins[name] = "/usr/lib/cni/" + name
	}
	for name, target := range plugins {
		link := in("cni", "bin", name)
		if old, err := os.Readlink(link); err == nil && old == target {
			continue
		}
		_ = os.Remove(link)
		if err := os.Symlink(target, link); err != nil {
			return err
		}
	}
	return nil
}

func (l *lab) kubeletProgram() *program {
	return &program{
		name: "kubelet",
		path: in("bin", "kubelet"),
		args: []string{
			"--config=" + in("etc", "kubelet.yaml"),
			"--kubeconfig=" + in("node.kubeconfig"),
			"--hostname-override=" + node,
			"--node-ip=" + l.host,
			"--root-dir=" + in("kubelet"),
			"--cert-dir=" + in("kubelet", "pki"),
		},
		files: []string{in("etc", "kubelet.yaml"), in("node.kubeconfig"), in("pki", "node.crt")},
		ports: []int{10248, 10250},
		ready: answers("http://127.0.0.1:10248/healthz", nil),
	}
}

// kubeletConfig keeps the kubelet from judging the machine: it may have control
// groups of version 1, swap, and a disk that others fill.
func (l *lab) kubeletConfig() string {
	return fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /%s
failSwapOn: false
localStorageCapacityIsolation: false
evictionHard: {nodefs.available: "0%%", imagefs.available: "0%%", memory.available: "50Mi"}
imageGCHighThresholdPercent: 100
makeIPTablesUtilChains: false
containerRuntimeEndpoint: unix://%s
clusterDNS: [%s]
clusterDomain: cluster.local
podLogsDir: %s
volumePluginDir: %s
tlsCertFile: %s
tlsPrivateKeyFile: %s
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: %s}
`, cgroup, containerdSocket, dnsService, in("log", "pods"), in("kubelet", "volume-plugins"),
		in("pki", "node.crt"), in("pki", "node.key"), in("pki", "ca.crt"))
}

func (l *lab) proxyProgram() *program {
	return &program{
		name:  "kube-proxy",
		path:  in("bin", "kube-proxy"),
		args:  []string{"--config=" + in("etc", "kube-proxy.yaml")},
		files: []string{in("etc", "kube-proxy.yaml"), in("admin.kubeconfig")},
		ports: []int{10249, 10256},
		ready: answers("http://127.0.0.1:10256/healthz", nil),
	}
}

func (l *lab) proxyConfig() string {
	return fmt.Sprintf(`apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: %s
hostnameOverride: %s
clientConnection: {kubeconfig: %s}
conntrack: {maxPerCore: 0}
`, podRange, node, in("admin.kubeconfig"))
}

// servesPods asks a container runtime for its version, as the kubelet does at its
// start: the socket answers before the part that runs pods does, and a kubelet
// that comes in between ends. The call is gRPC's for runtime.v1 with an empty
// message: no compression, length 0.
func servesPods(socket string) func(context.Context) error {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{
		Protocols: &protocols,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}}
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost,
			"http://localhost/runtime.v1.RuntimeService/Version", bytes.NewReader(make([]byte, 5)))
		if err != nil {
			return err
		}
		request.Header.Set("Content-Type", "application/grpc")
		request.Header.Set("Te", "trailers")
		answer, err := client.Do(request)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			return err
		}
		// A call without an answer has its trailers for a header.
		status := answer.Trailer
		if status.Get("Grpc-Status") == "" {
			status = answer.Header
		}
		if code := status.Get("Grpc-Status"); code != "0" {
			return fmt.Errorf("containerd does not serve pods yet: status %s: %s", code, status.Get("Grpc-Message"))
		}
		return nil
	}
}

// accepts tries whether someone listens on a socket.
func accepts(socket string) func(context.Context) error {
	return func(ctx context.Context) error {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", socket)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

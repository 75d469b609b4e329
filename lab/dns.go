package main

import (
	"context"
	"fmt"
	"net"
)

// dnsPort is not 53, which a resolver of the machine or of Dagger may hold.
const dnsPort = 1053

func (l *lab) corednsProgram() *program {
	return &program{
		name:  "coredns",
		path:  in("bin", "coredns"),
		args:  []string{"-conf", in("etc", "Corefile")},
		files: []string{in("etc", "Corefile"), in("admin.kubeconfig")},
		ports: []int{dnsPort, 8181},
		ready: answers("http://127.0.0.1:8181/ready", nil),
	}
}

func (l *lab) corefile() string {
	return fmt.Sprintf(`.:%d {
    bind %s
    errors
    ready 127.0.0.1:8181
    cache 30
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig %s lab
        fallthrough in-addr.arpa ip6.arpa
    }
    forward . /etc/resolv.conf
}
`, dnsPort, l.host, in("admin.kubeconfig"))
}

// dnsManifest is the Service that pods ask for names. CoreDNS runs beside the
// cluster, not in it, so the Service names its address itself.
func (l *lab) dnsManifest() string {
	return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec:
  clusterIP: %s
  ports:
  - {name: dns, port: 53, protocol: UDP, targetPort: %[3]d}
  - {name: dns-tcp, port: 53, protocol: TCP, targetPort: %[3]d}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: kube-dns
  namespace: kube-system
  labels:
    kubernetes.io/service-name: kube-dns
    endpointslice.kubernetes.io/managed-by: cutover-lab
addressType: IPv4
endpoints:
- addresses: [%[2]s]
  conditions: {ready: true}
ports:
- {name: dns, port: %[3]d, protocol: UDP}
- {name: dns-tcp, port: %[3]d, protocol: TCP}
`, dnsService, l.host, dnsPort)
}

// lookup asks the cluster's DNS, by the address that pods use.
func lookup(ctx context.Context, name string) ([]string, error) {
	resolver := net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, net.JoinHostPort(dnsService, "53"))
		},
	}
	return resolver.LookupHost(ctx, name)
}

package main

import (
	"crypto/tls"
	"net/http"
	"time"
)

// etcd holds the cluster's state. It does not wait for the disk: what a crash of
// the whole machine may cost here is a test cluster.
func (l *lab) etcdProgram() *program {
	return &program{
		name: "etcd",
		path: "/usr/bin/etcd",
		args: []string{
			"--data-dir", in("etcd"), "--unsafe-no-fsync",
			"--listen-client-urls", "http://127.0.0.1:2379", "--advertise-client-urls", "http://127.0.0.1:2379",
			"--listen-peer-urls", "http://127.0.0.1:2380",
		},
		ports: []int{2379, 2380},
		ready: answers("http://127.0.0.1:2379/health", nil),
	}
}

func (l *lab) apiserverProgram() *program {
	pki := func(name string) string { return in("pki", name) }
	return &program{
		name: "kube-apiserver",
		path: in("bin", "kube-apiserver"),
		args: []string{
			"--etcd-servers=http://127.0.0.1:2379",
			"--advertise-address=" + l.host,
			"--service-cluster-ip-range=" + serviceRange,
			"--tls-cert-file=" + pki("apiserver.crt"),
			"--tls-private-key-file=" + pki("apiserver.key"),
			"--client-ca-file=" + pki("ca.crt"),
			"--authorization-mode=Node,RBAC",
			"--enable-admission-plugins=NodeRestriction",
			"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
			"--service-account-key-file=" + pki("service-accounts.pub"),
			"--service-account-signing-key-file=" + pki("service-accounts.key"),
			"--kubelet-certificate-authority=" + pki("ca.crt"),
			"--kubelet-client-certificate=" + pki("admin.crt"),
			"--kubelet-client-key=" + pki("admin.key"),
			"--kubelet-preferred-address-types=InternalIP",
			"--allow-privileged=true",
		},
		files: []string{pki("apiserver.crt"), pki("ca.crt"), pki("admin.crt"), pki("service-accounts.key")},
		ports: []int{6443},
		ready: answers("https://127.0.0.1:6443/readyz", unverified),
	}
}

func (l *lab) controllersProgram() *program {
	return &program{
		name: "kube-controller-manager",
		path: in("bin", "kube-controller-manager"),
		args: []string{
			"--kubeconfig=" + in("admin.kubeconfig"),
			"--root-ca-file=" + in("pki", "ca.crt"),
			"--cluster-signing-cert-file=" + in("pki", "ca.crt"),
			"--cluster-signing-key-file=" + in("pki", "ca.key"),
			"--service-account-private-key-file=" + in("pki", "service-accounts.key"),
			"--use-service-account-credentials=true",
			"--allocate-node-cidrs=true",
			"--cluster-cidr=" + podRange,
			"--leader-elect=false",
		},
		files: []string{in("admin.kubeconfig"), in("pki", "service-accounts.key")},
		ports: []int{10257},
		ready: answers("https://127.0.0.1:10257/healthz", unverified),
	}
}

func (l *lab) schedulerProgram() *program {
	return &program{
		name:  "kube-scheduler",
		path:  in("bin", "kube-scheduler"),
		args:  []string{"--kubeconfig=" + in("admin.kubeconfig"), "--leader-elect=false"},
		files: []string{in("admin.kubeconfig")},
		ports: []int{10259},
		ready: answers("https://127.0.0.1:10259/healthz", unverified),
	}
}

// unverified asks programs on this machine how they are; some of them have a
// certificate that they made up themselves.
var unverified = &http.Client{
	Timeout:   3 * time.Second,
	Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
}

package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"slices"
	"time"
)

// An authority signs the certificates of the cluster.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  crypto.Signer
}

const (
	validFor   = 365 * 24 * time.Hour
	renewAhead = 30 * 24 * time.Hour
)

// writeCertificates makes the certificates, keys and kubeconfigs that are
// missing, run out soon, or name an address that the machine no longer has.
func (l *lab) writeCertificates() error {
	ca, err := openAuthority(in("pki"))
	if err != nil {
		return err
	}
	for _, c := range []struct {
		name    string
		subject pkix.Name
		hosts   []string
	}{
		{"apiserver", pkix.Name{CommonName: "kube-apiserver"}, []string{
			"127.0.0.1", l.host, apiService, engineBridge, "localhost",
			"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		}},
		{"admin", pkix.Name{CommonName: "admin", Organization: []string{"system:masters"}}, nil},
		{"node", pkix.Name{CommonName: "system:node:" + node, Organization: []string{"system:nodes"}}, []string{node, l.host}},
	} {
		if err := ca.issue(c.name, c.subject, c.hosts); err != nil {
			return err
		}
	}
	if err := writeSigningKey(in("pki")); err != nil {
		return err
	}
	for _, user := range []string{"admin", "node"} {
		config, err := kubeconfig("https://"+l.host+":6443", in("pki"), user)
		if err != nil {
			return err
		}
		if err := writeFile(in(user+".kubeconfig"), config, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// openAuthority returns the authority in dir, a new one if there is none.
func openAuthority(dir string) (*authority, error) {
	a := &authority{dir: dir}
	if cert, key, err := a.load("ca"); err == nil && time.Until(cert.NotAfter) > renewAhead {
		a.cert, a.key = cert, key
		return a, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "cutover lab"},
		NotAfter:              time.Now().Add(10 * validFor),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	a.cert, a.key = template, key // signs itself
	if err := a.sign("ca", template, key); err != nil {
		return nil, err
	}
	a.cert, a.key, err = a.load("ca")
	return a, err
}

// issue makes a certificate unless there is a good one.
func (a *authority) issue(name string, subject pkix.Name, hosts []string) error {
	var ips []net.IP
	var names []string
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			ips = append(ips, ip.To4())
		} else {
			names = append(names, host)
		}
	}
	if cert, _, err := a.load(name); err == nil && time.Until(cert.NotAfter) > renewAhead &&
		cert.CheckSignatureFrom(a.cert) == nil && slices.Equal(cert.DNSNames, names) &&
		slices.EqualFunc(cert.IPAddresses, ips, net.IP.Equal) {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	return a.sign(name, &x509.Certificate{
		Subject:     subject,
		NotAfter:    time.Now().Add(validFor),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    names,
		IPAddresses: ips,
	}, key)
}

func (a *authority) sign(name string, template *x509.Certificate, key *ecdsa.PrivateKey) (err error) {
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return err
	}
	template.NotBefore = time.Now().Add(-time.Hour) // clocks of containers may lag
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	// A kill between the two leaves a pair that does not match, which load
	// refuses, so that it is made again.
	if err := writeFile(a.path(name, "key"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600); err != nil {
		return err
	}
	return writeFile(a.path(name, "crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}

func (a *authority) load(name string) (*x509.Certificate, crypto.Signer, error) {
	pair, err := tls.LoadX509KeyPair(a.path(name, "crt"), a.path(name, "key"))
	if err != nil {
		return nil, nil, err
	}
	return pair.Leaf, pair.PrivateKey.(crypto.Signer), nil
}

func (a *authority) path(name, ext string) string { return a.dir + "/" + name + "." + ext }

// writeSigningKey makes the key pair that signs the tokens of service accounts.
func writeSigningKey(dir string) error {
	path := dir + "/service-accounts"
	if data, err := os.ReadFile(path + ".key"); err == nil {
		if block, _ := pem.Decode(data); block != nil {
			if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
				return writePublic(path+".pub", key)
			}
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	if err := writeFile(path+".key", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return err
	}
	return writePublic(path+".pub", key)
}

func writePublic(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	return writeFile(path, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o644)
}

// kubeconfig returns a kubeconfig that needs no other file, so that it works
// wherever it is carried, a container for example.
func kubeconfig(server, dir, user string) ([]byte, error) {
	var encoded [3]string
	for i, name := range []string{"ca.crt", user + ".crt", user + ".key"} {
		data, err := os.ReadFile(dir + "/" + name)
		if err != nil {
			return nil, err
		}
		encoded[i] = base64.StdEncoding.EncodeToString(data)
	}
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters:
- name: lab
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: %s
  user:
    client-certificate-data: %s
    client-key-data: %s
contexts:
- name: lab
  context:
    cluster: lab
    user: %[3]s
current-context: lab
`, server, encoded[0], user, encoded[1], encoded[2]), nil
}

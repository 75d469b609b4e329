package main

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"os"
	"testing"
)

func TestCertificates(t *testing.T) {
	dir := t.TempDir()
	ca, err := openAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	subject := pkix.Name{CommonName: "kube-apiserver"}
	issue := func(ca *authority, hosts ...string) string {
		t.Helper()
		if err := ca.issue("apiserver", subject, hosts); err != nil {
			t.Fatal(err)
		}
		cert, _, err := ca.load("apiserver")
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AddCert(ca.cert)
		for _, host := range hosts {
			if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err != nil {
				t.Errorf("not good for %s: %v", host, err)
			}
		}
		return cert.SerialNumber.String()
	}
	first := issue(ca, "192.0.2.1", "kubernetes.default.svc")

	again, err := openAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	if issue(again, "192.0.2.1", "kubernetes.default.svc") != first {
		t.Error("a good certificate was made anew")
	}
	if issue(again, "192.0.2.9", "kubernetes.default.svc") == first {
		t.Error("the machine has another address and the certificate is the old one")
	}

	// A kill between key and certificate leaves a pair that does not match.
	other, err := os.ReadFile(again.path("ca", "key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(again.path("apiserver", "key"), other, 0o600); err != nil {
		t.Fatal(err)
	}
	issue(again, "192.0.2.9", "kubernetes.default.svc")

	if info, err := os.Stat(again.path("ca", "key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the authority's key: %v %v", info.Mode(), err)
	}
}

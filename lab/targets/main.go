//go:build linux

// Command targets tells Prometheus which pods to scrape, by its protocol for HTTP
// service discovery: the ready pods of the applications that cutover deploys.
// Debian's Prometheus cannot ask Kubernetes by itself.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"
)

// selector finds the pods that a Service of cutover's may lead to.
const selector = "cutover.dev/serves"

func main() {
	listen := flag.String("listen", "127.0.0.1:9091", "where to answer")
	server := flag.String("server", "https://127.0.0.1:6443", "the Kubernetes API")
	ca := flag.String("ca", "", "file with its certificate authority")
	cert := flag.String("cert", "", "file with the client's certificate")
	key := flag.String("key", "", "file with the client's key")
	flag.Parse()
	err := run(*listen, *server, *ca, *cert, *key)
	fmt.Fprintln(os.Stderr, "targets:", err)
	os.Exit(1)
}

func run(listen, server, ca, cert, key string) error {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return err
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return errors.New(ca + " holds no certificate")
	}
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots},
	}}
	return http.ListenAndServe(listen, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		pods, err := list(client, server)
		if err != nil { // Prometheus keeps what it knew
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(groups(pods))
	}))
}

// pod is the part of a pod that says where its metrics are.
type pod struct {
	Metadata struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	Spec struct {
		Containers []struct {
			Ports []struct {
				ContainerPort int `json:"containerPort"`
			} `json:"ports"`
		} `json:"containers"`
	} `json:"spec"`
	Status struct {
		PodIP      string `json:"podIP"`
		Conditions []struct {
			Type   string `json:"type"`
			Status string `json:"status"`
		} `json:"conditions"`
	} `json:"status"`
}

func list(client *http.Client, server string) ([]pod, error) {
	answer, err := client.Get(server + "/api/v1/pods?labelSelector=" + url.QueryEscape(selector))
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the Kubernetes API answered %s", answer.Status)
	}
	var got struct {
		Items []pod `json:"items"`
	}
	return got.Items, json.NewDecoder(answer.Body).Decode(&got)
}

// group is one address with its labels.
type group struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// groups returns a target for each port of each ready pod.
func groups(pods []pod) []group {
	all := []group{} // never null, which is no list to Prometheus
	for _, p := range pods {
		if !p.ready() {
			continue
		}
		for _, c := range p.Spec.Containers {
			for _, port := range c.Ports {
				all = append(all, group{
					Targets: []string{net.JoinHostPort(p.Status.PodIP, strconv.Itoa(port.ContainerPort))},
					Labels:  map[string]string{"namespace": p.Metadata.Namespace, "pod": p.Metadata.Name},
				})
			}
		}
	}
	return all
}

func (p pod) ready() bool {
	for _, c := range p.Status.Conditions {
		if c.Type == "Ready" && c.Status == "True" {
			return p.Status.PodIP != ""
		}
	}
	return false
}

package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// counter is a proxy in front of the API server that counts the requests, each
// when it comes: a watch is one.
type counter struct {
	kubeconfig string
	server     *http.Server

	mu    sync.Mutex
	kinds map[string]int
}

// newCounter starts a counter in front of a kubeconfig's cluster, and writes the
// kubeconfig that leads through it to path.
func newCounter(kubeconfig, path string) (*counter, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	transport, err := rest.TransportFor(config)
	if err != nil {
		return nil, err
	}
	target, err := url.Parse(config.Host)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &counter{kubeconfig: path, kinds: map[string]int{}}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     transport,
		FlushInterval: -1, // what a watch sees must not wait
	}
	c.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.count(r)
		proxy.ServeHTTP(w, r)
	})}
	go c.server.Serve(listener)
	through := api.NewConfig()
	through.Clusters["counted"] = &api.Cluster{Server: "http://" + listener.Addr().String()}
	through.Contexts["counted"] = &api.Context{Cluster: "counted"}
	through.CurrentContext = "counted"
	return c, clientcmd.WriteToFile(*through, path)
}

func (c *counter) close() { c.server.Close() }

// flag leads cutover through the counter.
func (c *counter) flag() string { return "--kubeconfig=" + c.kubeconfig }

func (c *counter) count(r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kinds[kind(r)]++
}

// take returns what was counted since the last take.
func (c *counter) take() (requests, lease int, kinds map[string]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for kind, n := range c.kinds {
		if strings.HasSuffix(kind, " leases") {
			lease += n
		} else {
			requests += n
		}
	}
	kinds, c.kinds = c.kinds, map[string]int{}
	return requests, lease, kinds
}

// kind tells what a request is, such as "PATCH deployments/scale", whatever its
// object's name.
func kind(r *http.Request) string {
	verb := r.Method
	if watch := r.URL.Query().Get("watch"); watch == "true" || watch == "1" {
		verb = "WATCH"
	}
	_, path, found := strings.Cut(r.URL.Path, "/namespaces/")
	if !found {
		return fmt.Sprintf("%s %s", verb, r.URL.Path)
	}
	parts := strings.Split(path, "/") // namespace, resource, name, subresource
	switch len(parts) {
	case 1:
		return verb + " namespaces"
	case 4:
		return verb + " " + parts[1] + "/" + parts[3]
	default:
		return verb + " " + parts[1]
	}
}

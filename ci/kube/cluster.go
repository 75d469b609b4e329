// Package kube is cutover's only way to a cluster. It implements the small
// interfaces that package rollout declares, with client-go.
//
// Every wait ends by a watch: the Cluster keeps the application's Deployments,
// pods, Jobs and EndpointSlices in informers, so the number of API requests does
// not grow with the number of pods.
package kube

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"cutover.dev/ci/outcome"
	"cutover.dev/ci/release"
)

// Cluster is one application's part of a cluster. It is safe for concurrent use
// after Watch has returned.
type Cluster struct {
	client    kubernetes.Interface
	namespace string
	names     release.Names
	env       string

	informers informers.SharedInformerFactory
	watching  context.Context // Watch's: what goes on in the background ends with it

	mu      sync.Mutex
	changed chan struct{} // closed and replaced whenever an informer or the agent saw a change
	seen    sightings
}

// New returns the cluster that cfg leads to, for one application in a namespace.
// env is only named in error messages.
func New(cfg *rest.Config, namespace, app, env string) (*Cluster, error) {
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	names := release.Names{App: app}
	own := labels.SelectorFromSet(labels.Set{release.LabelApp: app}).String()
	return &Cluster{
		client:    client,
		namespace: namespace,
		names:     names,
		env:       env,
		changed:   make(chan struct{}),
		informers: informers.NewSharedInformerFactoryWithOptions(client, 0,
			informers.WithNamespace(namespace),
			informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = own })),
	}, nil
}

// reachTimeout bounds the first request: a cluster that does not answer within
// it is called unreachable.
const reachTimeout = 10 * time.Second

// Reach asks the API server for its version. The error says which address did
// not answer and why.
func (c *Cluster) Reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	client := c.client.Discovery().RESTClient()
	if err := client.Get().AbsPath("/version").Do(ctx).Error(); err != nil {
		return outcome.Failf("kubectl --kubeconfig=FILE version   (until it answers), then the same command again",
			"the API server %s cannot be used: %w", client.Get().URL().Host, err)
	}
	return nil
}

// listTimeout bounds the wait for the first list of everything that is watched.
const listTimeout = 30 * time.Second

// Watch starts the informers and returns once they hold the present state. They
// end with ctx. Called again, it does nothing.
func (c *Cluster) Watch(ctx context.Context) error {
	if c.watching != nil {
		return nil
	}
	c.watching = ctx
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { c.signal() },
		UpdateFunc: func(any, any) { c.signal() },
		DeleteFunc: func(any) { c.signal() },
	}
	for _, informer := range []cache.SharedIndexInformer{
		c.informers.Apps().V1().Deployments().Informer(),
		c.informers.Core().V1().Pods().Informer(),
		c.informers.Batch().V1().Jobs().Informer(),
		c.informers.Discovery().V1().EndpointSlices().Informer(),
	} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return fmt.Errorf("watch the application: %w", err)
		}
	}
	c.informers.Start(ctx.Done())
	listed, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	for kind, synced := range c.informers.WaitForCacheSync(listed.Done()) {
		if !synced {
			return fmt.Errorf("no list of %ss in the namespace %s: is the right to list and watch them missing? (%w)", kind.Elem().Name(), c.namespace, context.Cause(listed))
		}
	}
	return nil
}

func (c *Cluster) signal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.changed)
	c.changed = make(chan struct{})
}

// until evaluates the condition now and after every change that an informer or
// the agent saw, till it holds, fails, or ctx ends.
func (c *Cluster) until(ctx context.Context, holds func() (bool, error)) error {
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		if ok, err := holds(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		}
	}
}

// pods returns the pods that carry all of the labels.
func (c *Cluster) pods(set labels.Set) ([]*corev1.Pod, error) {
	return c.informers.Core().V1().Pods().Lister().Pods(c.namespace).List(labels.SelectorFromSet(set))
}

func (c *Cluster) endpointSlices(service string) ([]*discoveryv1.EndpointSlice, error) {
	set := labels.Set{discoveryv1.LabelServiceName: service}
	return c.informers.Discovery().V1().EndpointSlices().Lister().EndpointSlices(c.namespace).List(labels.SelectorFromSet(set))
}

package kube

import (
	"strconv"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"cutover.dev/ci/config"
	"cutover.dev/ci/release"
)

const namespace = "notes-prod"

// newFake returns the cluster of the application notes on an API server in
// memory. That one knows resource versions, as the real one does: a write based
// on an old version is a conflict.
func newFake(t *testing.T, objects ...runtime.Object) (*Cluster, *fake.Clientset) {
	t.Helper()
	client := fake.NewClientset(objects...)
	v := &versions{tracker: client.Tracker()}
	client.PrependReactor("create", "*", v.create)
	client.PrependReactor("update", "*", v.update)
	own := labels.SelectorFromSet(labels.Set{release.LabelApp: "notes"}).String()
	return &Cluster{
		client: client, namespace: namespace, names: release.Names{App: "notes"}, env: "prod", changed: make(chan struct{}),
		informers: informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace),
			informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = own })),
	}, client
}

type versions struct {
	tracker k8stesting.ObjectTracker
	mu      sync.Mutex
	last    int
}

func (v *versions) next() string {
	v.last++
	return strconv.Itoa(v.last)
}

func (v *versions) create(action k8stesting.Action) (bool, runtime.Object, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	create := action.(k8stesting.CreateAction)
	object := create.GetObject().DeepCopyObject()
	m, err := meta.Accessor(object)
	if err != nil {
		return true, nil, err
	}
	m.SetResourceVersion(v.next())
	if err := v.tracker.Create(create.GetResource(), object, create.GetNamespace()); err != nil {
		return true, nil, err
	}
	return true, object.DeepCopyObject(), nil
}

func (v *versions) update(action k8stesting.Action) (bool, runtime.Object, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	update := action.(k8stesting.UpdateAction)
	object := update.GetObject().DeepCopyObject()
	m, err := meta.Accessor(object)
	if err != nil {
		return true, nil, err
	}
	stored, err := v.tracker.Get(update.GetResource(), update.GetNamespace(), m.GetName())
	if err != nil {
		return true, nil, err
	}
	old, err := meta.Accessor(stored)
	if err != nil {
		return true, nil, err
	}
	if m.GetResourceVersion() != old.GetResourceVersion() {
		return true, nil, apierrors.NewConflict(update.GetResource().GroupResource(), m.GetName(), nil)
	}
	m.SetResourceVersion(v.next())
	if err := v.tracker.Update(update.GetResource(), object, update.GetNamespace()); err != nil {
		return true, nil, err
	}
	return true, object.DeepCopyObject(), nil
}

// record returns the record of a run that is about to take a release to green.
func record(run string) *release.Record {
	rec := &release.Record{Format: release.FormatVersion, Run: run, Namespace: namespace, Colour: release.Green, Replicas: 2, Outcome: release.Running}
	rec.Release.Version = "1"
	rec.Release.Env = config.Env{Name: "prod", App: "notes", Namespace: namespace, Port: 8080}
	return rec
}

// writes returns verb and resource of every write that was made.
func writes(client *fake.Clientset) []string {
	var out []string
	for _, a := range client.Actions() {
		switch a.GetVerb() {
		case "get", "list", "watch":
		default:
			out = append(out, a.GetVerb()+" "+a.GetResource().Resource)
		}
	}
	return out
}

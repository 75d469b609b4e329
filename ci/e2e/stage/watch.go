package stage

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"

	"cutover.dev/ci/release"
)

// AwaitRecord waits until the record of the last run is as wanted.
func (s *Stage) AwaitRecord(ctx context.Context, wanted func(*release.Record) bool) error {
	return await(ctx, s, "configmaps", Names.Head(), &corev1.ConfigMap{}, func(head *corev1.ConfigMap) bool {
		rec := new(release.Record)
		return json.Unmarshal([]byte(head.Data["record"]), rec) == nil && wanted(rec)
	})
}

// AwaitSelected waits until the live Service leads to the colour.
func (s *Stage) AwaitSelected(ctx context.Context, colour release.Colour) error {
	return await(ctx, s, "services", Names.Live(), &corev1.Service{}, func(live *corev1.Service) bool {
		return maps.Equal(live.Spec.Selector, Names.Selector(colour))
	})
}

// await waits until the object of that name is as wanted. It watches, and begins
// anew when the API server dies meanwhile.
func await[T runtime.Object](ctx context.Context, s *Stage, resource, name string, of T, wanted func(T) bool) error {
	list := cache.NewListWatchFromClient(s.Client.CoreV1().RESTClient(), resource, s.Namespace, fields.OneTermEqualSelector("metadata.name", name))
	_, err := watchtools.UntilWithSync(ctx, list, of, nil, func(e watch.Event) (bool, error) {
		object, ok := e.Object.(T)
		return ok && e.Type != watch.Deleted && wanted(object), nil
	})
	if err != nil {
		return fmt.Errorf("%s %s did not become as wanted: %w", resource, name, err)
	}
	return nil
}

// AwaitPods waits until the application's pods, all together, are as wanted.
func (s *Stage) AwaitPods(ctx context.Context, wanted func([]*corev1.Pod) bool) error {
	return s.awaitPods(ctx, func(o *metav1.ListOptions) { o.LabelSelector = release.LabelApp + "=" + Names.App }, wanted)
}

func (s *Stage) awaitPods(ctx context.Context, which func(*metav1.ListOptions), wanted func([]*corev1.Pod) bool) error {
	list := cache.NewFilteredListWatchFromClient(s.Client.CoreV1().RESTClient(), "pods", s.Namespace, which)
	var store cache.Store // the watch keeps it up to date
	look := func() (bool, error) {
		var pods []*corev1.Pod
		for _, object := range store.List() {
			pods = append(pods, object.(*corev1.Pod))
		}
		return wanted(pods), nil
	}
	_, err := watchtools.UntilWithSync(ctx, list, &corev1.Pod{},
		func(all cache.Store) (bool, error) { store = all; return look() },
		func(watch.Event) (bool, error) { return look() })
	if err != nil {
		return fmt.Errorf("the pods did not become as wanted: %w", err)
	}
	return nil
}

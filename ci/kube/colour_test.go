package kube

import (
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"cutover.dev/ci/release"
)

func scaler(least *int32) *autoscalingv2.HorizontalPodAutoscaler {
	return &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: "notes-blue", Namespace: namespace},
		Spec:       autoscalingv2.HorizontalPodAutoscalerSpec{MinReplicas: least, MaxReplicas: 9},
	}
}

func TestTheLeastOfAColourIsItsAutoscalersMinimum(t *testing.T) {
	for name, c := range map[string]struct {
		objects []runtime.Object
		want    int
	}{
		"no autoscaler":                        {nil, 0},
		"a minimum":                            {[]runtime.Object{scaler(new(int32(4)))}, 4},
		"no minimum: Kubernetes' own is meant": {[]runtime.Object{scaler(nil)}, 1},
	} {
		c1, _ := newFake(t, c.objects...)
		least, err := c1.Least(t.Context(), release.Blue)
		require.NoError(t, err, name)
		require.Equal(t, c.want, least, name)
	}
}

func TestTheSizeOfAColourIsWhatItShallHave(t *testing.T) {
	c, _ := newFake(t, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "notes-blue", Namespace: namespace},
		Spec:       appsv1.DeploymentSpec{Replicas: new(int32(5))}, Status: appsv1.DeploymentStatus{Replicas: 2},
	})
	for colour, want := range map[release.Colour]int{release.Blue: 5, release.Green: 0} {
		size, err := c.Size(t.Context(), colour)
		require.NoError(t, err)
		require.Equal(t, want, size)
	}
}

// scaled makes the fake understand a write of the scale, and returns its body.
func scaled(client *fake.Clientset) (body *string) {
	body = new(string)
	client.PrependReactor("patch", "deployments", func(a k8stesting.Action) (bool, runtime.Object, error) {
		if a.GetSubresource() == "scale" {
			*body = string(a.(k8stesting.PatchAction).GetPatch())
			return true, &appsv1.Deployment{}, nil
		}
		return false, nil, nil
	})
	return body
}

func TestAParkedColourLosesItsAutoscalerBeforeItsPods(t *testing.T) {
	c, client := newFake(t, scaler(new(int32(4))))
	body := scaled(client)
	require.NoError(t, c.Park(t.Context(), release.Blue))
	require.Equal(t, []string{"delete horizontalpodautoscalers", "patch deployments"}, writes(client))
	require.JSONEq(t, `{"spec": {"replicas": 0}}`, *body)
	require.NoError(t, c.Park(t.Context(), release.Blue), "it may be done again")
}

func TestADeletedColourLeavesNothingThatGuardedIt(t *testing.T) {
	c, client := newFake(t, scaler(nil), &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "notes-blue", Namespace: namespace}})
	for range 2 {
		require.NoError(t, c.DeleteColour(t.Context(), release.Blue))
	}
	_, err := client.AppsV1().Deployments(namespace).Get(t.Context(), "notes-blue", metav1.GetOptions{})
	require.True(t, apierrors.IsNotFound(err))
	_, err = client.AutoscalingV2().HorizontalPodAutoscalers(namespace).Get(t.Context(), "notes-blue", metav1.GetOptions{})
	require.True(t, apierrors.IsNotFound(err))
}

func TestThePodThatIsToEndIsMarkedAndStaysTheSame(t *testing.T) {
	ready := func(name string) *corev1.Pod { return pod(name, release.Green, "r2", true) }
	c, client := newFake(t, ready("a"), ready("b"), pod("c", release.Green, "r2", false))
	require.NoError(t, c.Watch(t.Context()))
	body := scaled(client)
	first, err := c.EndOne(t.Context(), release.Green, 2)
	require.NoError(t, err)
	require.Equal(t, "a", first, "a pod that is ready")
	require.JSONEq(t, `{"spec": {"replicas": 2}}`, *body)
	marked, err := client.CoreV1().Pods(namespace).Get(t.Context(), "a", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, "-1000", marked.Annotations["controller.kubernetes.io/pod-deletion-cost"])

	require.NoError(t, c.until(t.Context(), func() (bool, error) {
		p, err := c.informers.Core().V1().Pods().Lister().Pods(namespace).Get("a")
		return err == nil && p.Annotations[annotationCost] != "", err
	}))
	again, err := c.EndOne(t.Context(), release.Green, 2)
	require.NoError(t, err)
	require.Equal(t, first, again, "a run that was killed and goes on ends no second pod")
}

func TestThePodThatWasReadyFirstIsEnded(t *testing.T) {
	since := func(name string, seconds int) *corev1.Pod {
		p := pod(name, release.Green, "r2", true)
		p.Status.Conditions[0].LastTransitionTime = metav1.Unix(int64(seconds), 0)
		return p
	}
	c, client := newFake(t, since("a", 30), since("b", 10), since("c", 20))
	require.NoError(t, c.Watch(t.Context()))
	scaled(client)
	name, err := c.EndOne(t.Context(), release.Green, 2)
	require.NoError(t, err)
	require.Equal(t, "b", name)
}

func TestWithoutAReadyPodNoneIsEnded(t *testing.T) {
	c, client := newFake(t, pod("c", release.Green, "r2", false))
	require.NoError(t, c.Watch(t.Context()))
	_, err := c.EndOne(t.Context(), release.Green, 2)
	require.EqualError(t, err, "no pod of green is ready")
	require.Empty(t, writes(client))
}

func TestAPodThatEndsAlreadyIsNotChosenOnceMore(t *testing.T) {
	ending := pod("a", release.Green, "r2", true)
	ending.Annotations = map[string]string{annotationCost: goesFirst}
	ending.DeletionTimestamp, ending.Finalizers = new(metav1.Now()), []string{"test/stays"}
	c, client := newFake(t, ending, pod("b", release.Green, "r2", true))
	require.NoError(t, c.Watch(t.Context()))
	scaled(client)
	name, err := c.EndOne(t.Context(), release.Green, 1)
	require.NoError(t, err)
	require.Equal(t, "b", name)
}

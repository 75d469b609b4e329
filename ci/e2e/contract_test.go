//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"cutover.dev/ci/e2e/stage"
	"cutover.dev/ci/kube"
	"cutover.dev/ci/release"
	"cutover.dev/ci/rollout/contract"
)

// The same contract that the fault matrix's cluster in memory keeps, on the real
// API server and over a network that fails.
func TestTheRealAPIServerKeepsTheContractWhateverTheNetworkDoes(t *testing.T) {
	t.Parallel()
	s, err := stage.Open(repositoryRoot(t), "notes-e2e-contract")
	require.NoError(t, err)
	require.NoError(t, s.Strike(t.Context()))
	_, err = s.Client.CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.Namespace, Labels: map[string]string{"cutover.dev/stage": "true"}}}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		if !t.Failed() {
			require.NoError(t, s.Strike(context.Background()))
		}
	})
	contract.Test(t, s.Namespace, func(t *testing.T, app string) contract.Subject {
		cfg, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
		require.NoError(t, err)
		cfg.QPS, cfg.Burst = 50, 100
		network := &network{}
		cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { network.next = next; return network })
		c, err := kube.New(cfg, s.Namespace, app, "test")
		require.NoError(t, err)
		require.NoError(t, c.Watch(t.Context()))
		return contract.Subject{
			Cluster: c, Store: kube.NewStore(c), Locker: c, Inject: network.inject,
			Look: func(ctx context.Context) (contract.State, error) { return look(ctx, s.Client, s.Namespace, app) },
		}
	})
}

// network carries requests, and lets one write fail when it is told to.
type network struct {
	next  http.RoundTripper
	mu    sync.Mutex
	armed contract.Fault
}

func (n *network) inject(f contract.Fault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.armed = f
}

func (n *network) take(r *http.Request) contract.Fault {
	n.mu.Lock()
	defer n.mu.Unlock()
	if r.Method == http.MethodGet || strings.Contains(r.URL.Path, "/leases/") {
		return contract.None
	}
	f := n.armed
	n.armed = contract.None
	return f
}

// cut is a connection that ended, as the net package tells it.
type cut struct{ text string }

func (c cut) Error() string   { return c.text }
func (c cut) Timeout() bool   { return true }
func (c cut) Temporary() bool { return true }

func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	switch n.take(r) {
	case contract.Conflict:
		return refusal(r, http.StatusConflict, metav1.StatusReasonConflict), nil
	case contract.Busy:
		return refusal(r, http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests), nil
	case contract.Internal:
		return refusal(r, http.StatusInternalServerError, metav1.StatusReasonInternalError), nil
	case contract.Unsent:
		return nil, cut{"timeout before the request was sent"}
	case contract.Lost:
		answer, err := n.next.RoundTrip(r)
		if err == nil {
			answer.Body.Close()
		}
		return nil, cut{"timeout before the answer came"}
	default:
		return n.next.RoundTrip(r)
	}
}

func refusal(r *http.Request, code int, reason metav1.StatusReason) *http.Response {
	body, _ := json.Marshal(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusFailure, Code: int32(code), Reason: reason, Message: "injected",
	})
	return &http.Response{
		StatusCode: code, Status: http.StatusText(code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}, "Retry-After": {"0"}},
		Body:   io.NopCloser(strings.NewReader(string(body))), ContentLength: int64(len(body)),
	}
}

// look reads the application's state by a client of its own.
func look(ctx context.Context, client kubernetes.Interface, namespace, app string) (contract.State, error) {
	names := release.Names{App: app}
	s := contract.State{Sizes: map[release.Colour]int{}, Leasts: map[release.Colour]int{}}
	for name, colour := range map[string]*release.Colour{names.Live(): &s.Selects, names.Preview(): &s.Preview} {
		service, err := client.CoreV1().Services(namespace).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return s, err
		}
		if *colour = release.Colour(service.Spec.Selector[release.LabelColour]); *colour == release.None {
			*colour = release.Both
		}
	}
	own := metav1.ListOptions{LabelSelector: release.LabelApp + "=" + app}
	deployments, err := client.AppsV1().Deployments(namespace).List(ctx, own)
	if err != nil {
		return s, err
	}
	for _, d := range deployments.Items {
		s.Sizes[release.Colour(d.Labels[release.LabelColour])] = int(*d.Spec.Replicas)
	}
	scalers, err := client.AutoscalingV2().HorizontalPodAutoscalers(namespace).List(ctx, own)
	if err != nil {
		return s, err
	}
	for _, h := range scalers.Items {
		s.Leasts[release.Colour(h.Labels[release.LabelColour])] = int(*h.Spec.MinReplicas)
	}
	secrets, err := client.CoreV1().Secrets(namespace).List(ctx, own)
	if err != nil {
		return s, err
	}
	for _, secret := range secrets.Items {
		s.Releases = append(s.Releases, secret.Labels[release.LabelRelease])
	}
	slices.Sort(s.Releases)
	return s, lookAtRun(ctx, client, namespace, names, &s)
}

func lookAtRun(ctx context.Context, client kubernetes.Interface, namespace string, names release.Names, s *contract.State) error {
	head, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, names.Head(), metav1.GetOptions{})
	if err == nil {
		var rec release.Record
		if err := json.Unmarshal([]byte(head.Data["record"]), &rec); err != nil {
			return err
		}
		s.Run, s.Outcome = rec.Run, rec.Outcome
	} else if !apierrors.IsNotFound(err) {
		return err
	}
	lease, err := client.CoordinationV1().Leases(namespace).Get(ctx, names.Head(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err == nil && lease.Spec.HolderIdentity != nil {
		s.Holder = *lease.Spec.HolderIdentity
	}
	return err
}

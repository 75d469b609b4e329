package trial

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"cutover.dev/ci/e2e/stage"
	"cutover.dev/ci/release"
)

// leaving is how long a pod that was told to go may take: its grace, and a margin.
const leaving = time.Minute

// settled returns the record, and as an error everything about the application
// that is not as a finished run has to leave it.
func (t *Trial) settled(ctx context.Context) (*release.Record, error) {
	rec, err := t.Record(ctx)
	if err != nil {
		return nil, err
	}
	live := rec.ServingRelease()
	if live == nil {
		return rec, errors.New("by the record nothing serves")
	}
	var unfinished error
	if !rec.Finished() {
		unfinished = fmt.Errorf("run %s is not finished: %s", rec.Run, rec.Outcome)
	}
	return rec, errors.Join(unfinished, t.leads(ctx, rec.Serving), t.alone(ctx, rec.Serving, live.Env.Replicas), t.answers(ctx, *live), t.tidied(ctx))
}

// leads checks that the live Service selects the colour and nothing else.
func (t *Trial) leads(ctx context.Context, colour release.Colour) error {
	live, err := t.Client.CoreV1().Services(t.Namespace).Get(ctx, stage.Names.Live(), metav1.GetOptions{})
	if err != nil {
		return err
	}
	if want := stage.Names.Selector(colour); !maps.Equal(live.Spec.Selector, want) {
		return fmt.Errorf("the live Service selects %v, not %v", live.Spec.Selector, want)
	}
	return nil
}

// alone checks that the application has the colour's pods, all ready, and no
// other: neither the other colour's, nor the agent, nor a migration's.
func (t *Trial) alone(ctx context.Context, colour release.Colour, size int) error {
	ctx, cancel := context.WithTimeout(ctx, leaving)
	defer cancel()
	var seen []string
	err := t.AwaitPods(ctx, func(pods []*corev1.Pod) bool {
		seen = nil
		ready := 0
		for _, p := range pods {
			seen = append(seen, p.Name)
			if p.Labels[release.LabelColour] == string(colour) && isReady(p) {
				ready++
			}
		}
		return ready == size && len(pods) == size
	})
	if err != nil {
		return fmt.Errorf("there should be %d ready pods of %s and nothing else, but there are %v: %w", size, colour, seen, err)
	}
	return nil
}

func isReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue && p.DeletionTimestamp == nil
		}
	}
	return false
}

// answers asks every pod behind the live Service who it is.
func (t *Trial) answers(ctx context.Context, live release.Release) error {
	pods, err := t.Client.CoreV1().Pods(t.Namespace).List(ctx, metav1.ListOptions{LabelSelector: release.LabelServes + "=" + stage.Names.App})
	if err != nil {
		return err
	}
	for _, p := range pods.Items {
		said, err := t.Client.CoreV1().Pods(t.Namespace).ProxyGet("http", p.Name, "8080", "/version", nil).DoRaw(ctx)
		if err != nil {
			return fmt.Errorf("pod %s does not say its version: %w", p.Name, err)
		}
		var is struct{ Version, Release string }
		if err := json.Unmarshal(said, &is); err != nil || is.Version != live.Version || is.Release != live.ID {
			return fmt.Errorf("pod %s says %s, but by the record %s of version %s serves", p.Name, said, live.ID, live.Version)
		}
	}
	return nil
}

// tidied checks that the preview Service is gone.
func (t *Trial) tidied(ctx context.Context) error {
	_, err := t.Client.CoreV1().Services(t.Namespace).Get(ctx, stage.Names.Preview(), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err == nil:
		err = errors.New("the preview Service is there still")
	}
	return err
}

// unlocked checks that nobody has the lock.
func (t *Trial) unlocked(ctx context.Context) error {
	lease, err := t.Client.CoordinationV1().Leases(t.Namespace).Get(ctx, stage.Names.Head(), metav1.GetOptions{})
	if err != nil {
		return err
	}
	if holder := lease.Spec.HolderIdentity; holder != nil && *holder != "" {
		return fmt.Errorf("%s has the lock still", *holder)
	}
	return nil
}

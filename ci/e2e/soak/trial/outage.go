package trial

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"cutover.dev/ci/e2e/stage"
	"cutover.dev/ci/outcome"
	"cutover.dev/ci/release"
)

// away is how long a program of the cluster is dead.
const away = 20 * time.Second

// outage kills a program of the lab's cluster in the middle of a deploy, which
// has to live with that.
func (w *killing) outage(program string) func(context.Context) error {
	return func(ctx context.Context) error {
		steps := []string{"raise", "verify", "bake", "retire"}
		step := steps[w.random.IntN(len(steps))]
		return w.disturb(ctx, program, func(ctx context.Context, p *stage.Process, before *release.Record, struck func(step string)) error {
			if err := w.reach(ctx, p, before, step); err != nil {
				return err
			}
			if err := w.KillLab(ctx, program); err != nil {
				return fmt.Errorf("%w (-api-server=false -kubelet=false is for clusters other than the lab's)", err)
			}
			struck(step)
			timer := time.NewTimer(away)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
			return errors.Join(w.HealLab(context.WithoutCancel(ctx)), ctx.Err())
		})
	}
}

// vanish deletes half of the new pods while a deploy waits for them.
func (w *killing) vanish(ctx context.Context) error {
	return w.disturb(ctx, "pods", func(ctx context.Context, p *stage.Process, before *release.Record, struck func(step string)) error {
		if err := w.reach(ctx, p, before, "raise"); err != nil {
			return err
		}
		running, cancel := during(ctx, p)
		defer cancel()
		var raised []*corev1.Pod
		if err := w.AwaitPods(running, func(pods []*corev1.Pod) bool {
			raised = nil
			for _, p := range pods {
				if p.Labels[release.LabelColour] == string(before.Serving.Other()) {
					raised = append(raised, p)
				}
			}
			return len(raised) >= before.ServingRelease().Env.Replicas
		}); err != nil {
			return errors.Join(err, context.Cause(running))
		}
		struck("raise")
		for _, p := range raised[:(len(raised)+1)/2] {
			if err := w.Client.CoreV1().Pods(w.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{}); err != nil {
				return err
			}
		}
		return nil
	})
}

// blow is what happens to a deploy that began after before. It calls struck in
// the moment in which it happens.
type blow func(ctx context.Context, p *stage.Process, before *release.Record, struck func(step string)) error

// disturb strikes a deploy, which then ends by itself: well, or taken back.
func (w *killing) disturb(ctx context.Context, kind string, strike blow) error {
	before, err := w.Record(ctx)
	if err != nil {
		return err
	}
	e := Event{At: time.Now(), Kind: kind, Version: w.next(before).Name, Command: "deploy"}
	p, err := w.Deploy(ctx, w.next(before))
	if err != nil {
		return err
	}
	var at time.Time
	if err := strike(ctx, p, before, func(step string) {
		at = time.Now()
		e.After, e.Step = at.Sub(e.At).Seconds(), step
	}); err != nil {
		p.Kill()
		return w.missed(ctx, &e, err)
	}
	call, err := ended(p)
	if err != nil {
		return err
	}
	e.Code, e.Recovery = call.Code, call.End.Sub(at).Seconds()
	if code := outcome.Code(call.Code); code != outcome.Done && code != outcome.RolledBack {
		e.Wrong = append(e.Wrong, fmt.Sprintf("the deploy ended with %d: %s", call.Code, lastWords(call)))
	}
	return w.settle(ctx, &e, nil)
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"cutover.dev/ci/plan"
	"cutover.dev/ci/release"
)

// floor is the least that a blue-green deploy can take: a shell script's. It
// deploys the same pods as cutover, beside cutover's and under another name.
type floor struct {
	*bench
	release release.Release
	secret  *corev1.Secret
	live    release.Colour
	round   int
}

// floorNames are the floor's.
var floorNames = release.Names{App: "floor"}

// floor raises the first colour of the floor, of the pods that the record tells,
// and the Service that leads to it.
func (b *bench) floor(ctx context.Context, rec *release.Record) (*floor, error) {
	secret, err := b.Client.CoreV1().Secrets(b.Namespace).Get(ctx, release.Names{App: rec.Release.Env.App}.Config(rec.Release.ID), metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	f := &floor{bench: b, release: rec.Release, secret: secret, live: release.Green}
	f.release.Env.App = floorNames.App
	if err := f.apply(ctx, plan.LiveService(f.release, f.live)); err != nil {
		return nil, err
	}
	deployment, err := f.render(ctx)
	if err != nil {
		return nil, err
	}
	_, err = f.measured(ctx, deployment)
	f.live = f.live.Other()
	return f, err
}

// deploy measures one deploy, in seconds, and takes the old colour down.
func (f *floor) deploy(ctx context.Context) (float64, error) {
	deployment, err := f.render(ctx)
	if err != nil {
		return 0, err
	}
	took, err := f.measured(ctx, deployment)
	if err != nil {
		return 0, err
	}
	old := f.live
	f.live = f.live.Other()
	if err := f.Kubectl(ctx, "scale", "deployment/"+floorNames.Deployment(old), "--replicas=0"); err != nil {
		return 0, err
	}
	return took, f.Kubectl(ctx, "wait", "--for=delete", "pods", "--timeout=120s",
		"--selector="+metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: floorNames.Selector(old)}))
}

// measured is what the script does.
func (f *floor) measured(ctx context.Context, deployment string) (float64, error) {
	idle := f.live.Other()
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"selector": floorNames.Selector(idle)}})
	if err != nil {
		return 0, err
	}
	moment, err := f.switched(ctx, floorNames)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if err := f.Kubectl(ctx, "apply", "--filename="+deployment); err != nil {
		return 0, err
	}
	if err := f.Kubectl(ctx, "rollout", "status", "deployment/"+floorNames.Deployment(idle)); err != nil {
		return 0, err
	}
	if err := f.Kubectl(ctx, "patch", "service", floorNames.Live(), "--patch="+string(patch)); err != nil {
		return 0, err
	}
	at, err := moment()
	return at.Sub(start).Seconds(), err
}

// switched begins to watch the live Service. The function it returns waits until
// the selector has changed and tells when that was seen.
func (b *bench) switched(ctx context.Context, names release.Names) (func() (time.Time, error), error) {
	services := b.Client.CoreV1().Services(b.Namespace)
	now, err := services.Get(ctx, names.Live(), metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	w, err := services.Watch(ctx, metav1.SingleObject(now.ObjectMeta))
	if err != nil {
		return nil, err
	}
	seen := make(chan time.Time, 1)
	go func() {
		defer close(seen)
		defer w.Stop()
		for e := range w.ResultChan() {
			if s, ok := e.Object.(*corev1.Service); ok && !maps.Equal(s.Spec.Selector, now.Spec.Selector) {
				seen <- time.Now()
				return
			}
		}
	}()
	return func() (time.Time, error) {
		at, ok := <-seen
		if !ok {
			return at, fmt.Errorf("the selector of the Service %s was not seen to change", names.Live())
		}
		return at, nil
	}, nil
}

// render makes the next release's configuration, and writes the idle colour's
// Deployment to a file, whose name it returns.
func (f *floor) render(ctx context.Context) (string, error) {
	f.round++
	f.release.ID = fmt.Sprintf("r%d", f.round)
	secret := plan.Secret(f.release, nil)
	secret.Data = f.secret.Data
	if err := f.apply(ctx, plan.Config(f.release)); err != nil {
		return "", err
	}
	if err := f.apply(ctx, secret); err != nil {
		return "", err
	}
	d := plan.Deployment(f.release, f.live.Other())
	d.Spec.Replicas = new(int32(few))
	return f.file(d)
}

func (f *floor) apply(ctx context.Context, object any) error {
	path, err := f.file(object)
	if err != nil {
		return err
	}
	return f.Kubectl(ctx, "apply", "--filename="+path)
}

func (f *floor) file(object any) (string, error) {
	data, err := json.Marshal(object)
	if err != nil {
		return "", err
	}
	path := filepath.Join(f.dir, "floor.json")
	return path, os.WriteFile(path, data, 0o600)
}

// strike takes the pods away, so that the rest has the machine for itself.
func (f *floor) strike(ctx context.Context) error {
	return f.Kubectl(ctx, "delete", "deployment", floorNames.Deployment(release.Blue), floorNames.Deployment(release.Green))
}

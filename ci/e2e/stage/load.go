package stage

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"cutover.dev/ci/probe"
)

// Traffic is what a load sends, as many requests on fresh connections as on kept
// ones.
type Traffic struct {
	// Name is the pod's.
	Name string
	// Rate is in requests per second.
	Rate int
	// Read is the path of the reads; Write that of the writes, empty for none.
	Read, Write string
	// Slow is a path whose answer takes long, empty for none: one such request for
	// every four fresh and four kept.
	Slow string
	// AtMost ends the load when nobody stops it.
	AtMost time.Duration
}

// Load is a steady load on the application from a pod inside the cluster.
type Load struct {
	stage *Stage
	name  string

	mu      sync.Mutex
	seconds []probe.Second
	result  *probe.Result
	changed chan struct{}
	ended   chan struct{}
	err     error
}

// StartLoad sends traffic, until Stop, from a pod of the bundle. It returns when
// the first second has been counted.
func (s *Stage) StartLoad(ctx context.Context, bundle string, t Traffic) (*Load, error) {
	args := []string{
		"agent", "load", "--url=http://notes", fmt.Sprintf("--rate=%d", t.Rate), "--for=" + t.AtMost.String(),
		"--read=" + t.Read, "--version-header=Notes-Version",
	}
	if t.Write != "" {
		args = append(args, "--write="+t.Write, `--body={"title":"note {n}","body":"written under load"}`)
	}
	if t.Slow != "" {
		args = append(args, "--slow="+t.Slow)
	}
	pods := s.Client.CoreV1().Pods(s.Namespace)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: t.Name},
		Spec: corev1.PodSpec{
			RestartPolicy:                 corev1.RestartPolicyNever,
			TerminationGracePeriodSeconds: new(int64(20)),
			Containers: []corev1.Container{{
				Name: "load", Image: bundle, Args: args,
				// On a busy machine a pod that reserves nothing gets nothing, and then sends
				// too late what it calls lost.
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("300m")}},
			}},
		},
	}
	if _, err := pods.Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	if err := s.waitPod(ctx, pod.Name, func(p *corev1.Pod) bool { return p.Status.Phase != corev1.PodPending }); err != nil {
		return nil, err
	}
	l := &Load{stage: s, name: pod.Name, changed: make(chan struct{}, 1), ended: make(chan struct{})}
	go l.follow(ctx)
	for {
		select {
		case <-l.changed:
			return l, nil
		case <-l.ended:
			return nil, fmt.Errorf("the load ended before it began: %w", l.ending())
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// follow reads the load's output to its last line. When the API server or the
// kubelet dies, the stream breaks: then it is read again from its start, and what
// was read before counts once.
func (l *Load) follow(ctx context.Context) {
	defer close(l.ended)
	pods := l.stage.Client.CoreV1().Pods(l.stage.Namespace)
	for {
		pod, err := pods.Get(ctx, l.name, metav1.GetOptions{})
		over := apierrors.IsNotFound(err) || err == nil && (pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed)
		if err == nil {
			err = l.read(ctx)
		}
		if l.whole() || over || ctx.Err() != nil {
			l.fail(errors.Join(err, ctx.Err()))
			return
		}
		select { // a stream that ended at once must not be asked for in a tight loop
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func (l *Load) read(ctx context.Context) error {
	stream, err := l.stage.Client.CoreV1().Pods(l.stage.Namespace).GetLogs(l.name, &corev1.PodLogOptions{Follow: true}).Stream(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		l.line(lines.Bytes())
	}
	return lines.Err()
}

// line takes one line of the load's output: a second, or at last the result.
func (l *Load) line(text []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var r probe.Result
	if err := json.Unmarshal(text, &r); err == nil && !r.End.IsZero() {
		l.result = &r
		return
	}
	var s probe.Second
	if err := json.Unmarshal(text, &s); err != nil || s.At.IsZero() {
		l.err = fmt.Errorf("the load said: %s", text)
		return
	}
	if n := len(l.seconds); n > 0 && !s.At.After(l.seconds[n-1].At) {
		return
	}
	l.seconds = append(l.seconds, s)
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// whole reports whether the last line was read.
func (l *Load) whole() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.result != nil
}

func (l *Load) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = errors.Join(l.err, err)
}

// ending is why there is nothing more to read, to be asked when it has ended.
func (l *Load) ending() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Seconds returns what was counted so far.
func (l *Load) Seconds() []probe.Second {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.seconds)
}

// Since adds up what was counted from a moment on.
func (l *Load) Since(from time.Time) probe.Tally {
	t := probe.Tally{From: from}
	for _, s := range l.Seconds() {
		t.Add(s)
	}
	return t
}

// Past waits until the load has gone on for a whole second that began after t.
func (l *Load) Past(ctx context.Context, t time.Time) error {
	for {
		l.mu.Lock()
		past := len(l.seconds) > 0 && l.seconds[len(l.seconds)-1].At.After(t)
		l.mu.Unlock()
		if past {
			return nil
		}
		select {
		case <-l.changed:
		case <-l.ended:
			return fmt.Errorf("the load ended too soon: %w", l.ending())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Stop ends the load and returns every second of it and the whole.
func (l *Load) Stop(ctx context.Context) ([]probe.Second, probe.Result, error) {
	// Its last line can be read only by a stream that is open when it ends. That a
	// load has ended already is no mistake.
	_ = l.Past(ctx, time.Now())
	// The pod is asked to end by its deletion; its log is followed to the last line.
	if err := l.stage.Client.CoreV1().Pods(l.stage.Namespace).Delete(ctx, l.name, metav1.DeleteOptions{}); err != nil {
		return nil, probe.Result{}, err
	}
	select {
	case <-l.ended:
	case <-ctx.Done():
		return nil, probe.Result{}, ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.result == nil {
		return l.seconds, probe.Result{}, fmt.Errorf("the load gave no result: %w", l.err)
	}
	return l.seconds, *l.result, nil
}

// waitPod waits until the pod is as wanted.
func (s *Stage) waitPod(ctx context.Context, name string, wanted func(*corev1.Pod) bool) error {
	return s.awaitPods(ctx, func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector("metadata.name", name).String()
	},
		func(pods []*corev1.Pod) bool { return len(pods) > 0 && wanted(pods[0]) })
}

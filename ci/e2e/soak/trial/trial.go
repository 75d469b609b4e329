// Package trial does to deploys what can happen to them: they are killed, the
// cluster's own programs die, pods vanish, traffic is heavy. It happens on a real
// cluster and under a load that knows of every lost request.
package trial

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"cutover.dev/ci/e2e/stage"
	"cutover.dev/ci/outcome"
	"cutover.dev/ci/release"
)

// Trial is a stage on which one of two good versions serves.
type Trial struct {
	*stage.Stage
	// Say is told what happens.
	Say func(format string, args ...any)

	good      [2]stage.Version
	published map[string]stage.Version
}

// limit bounds one command.
const limit = 10 * time.Minute

// Open publishes two good versions to a stage that was set, and deploys the first.
// The stage has a repository of its own.
func Open(ctx context.Context, s *stage.Stage, say func(format string, args ...any)) (*Trial, error) {
	t := &Trial{Stage: s, Say: say, published: map[string]stage.Version{}}
	// With a drain test and a time to bake every step takes a while, so that a blow
	// can meet each of them.
	if err := s.Edit(stage.Edit{From: "  drain: false", To: "  drain: true"}, stage.Edit{From: "  for: 0s", To: "  for: 5s"}); err != nil {
		return nil, err
	}
	if err := s.Build(ctx); err != nil {
		return nil, err
	}
	for i, name := range []string{"a", "b"} {
		var err error
		if t.good[i], err = t.version(ctx, name); err != nil {
			return nil, err
		}
	}
	_, err := t.take(ctx, t.good[0])
	return t, err
}

// version publishes a version, the first time that it is asked for.
func (t *Trial) version(ctx context.Context, name string, buildArgs ...string) (stage.Version, error) {
	if v, ok := t.published[name]; ok {
		return v, nil
	}
	t.Say("publish version %s", name)
	if err := t.Edit(smoke...); err != nil { // a bundle holds the tests that were on when it was made
		return stage.Version{}, err
	}
	v, err := t.Publish(ctx, name, buildArgs...)
	for _, e := range smoke {
		err = errors.Join(err, t.Edit(stage.Edit{From: e.To, To: e.From}))
	}
	if err == nil {
		t.published[name] = v
	}
	return v, err
}

// take deploys a version, which has to succeed.
func (t *Trial) take(ctx context.Context, v stage.Version, more ...string) (stage.Call, error) {
	p, err := t.Deploy(ctx, v, more...)
	if err != nil {
		return stage.Call{}, err
	}
	call, err := ended(p)
	if err == nil && call.Code != int(outcome.Done) {
		err = fmt.Errorf("the deploy of version %s ended with %d: %s", v.Name, call.Code, lastWords(call))
	}
	t.Say("deploy of version %s: exit code %d after %.1f s", v.Name, call.Code, call.Took.Seconds())
	return call, err
}

// next returns the good version that does not serve.
func (t *Trial) next(rec *release.Record) stage.Version {
	if live := rec.ServingRelease(); live != nil && live.Version == t.good[0].Name {
		return t.good[1]
	}
	return t.good[0]
}

// ended waits for the program's end. One that hangs is killed.
func ended(p *stage.Process) (stage.Call, error) {
	hangs := time.AfterFunc(limit, func() { p.Kill() })
	defer hangs.Stop()
	return p.Wait()
}

// lastWords are what a program said in the end.
func lastWords(c stage.Call) string {
	lines := strings.Split(strings.TrimSpace(c.Output()), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}

// errEnded is the cause with which a context of during ends.
var errEnded = errors.New("the program ended before")

// during returns a context that ends with the program.
func during(ctx context.Context, p *stage.Process) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-p.Ended():
			cancel(errEnded)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

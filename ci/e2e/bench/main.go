// Command bench measures what a deploy costs: how long it takes from its start to
// the moment in which the live Service's selector leads to the new version, beside
// the same done by kubectl and nothing else, and how many requests it sends to the
// API server. Both moments are those in which a watcher of the Service sees it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"cutover.dev/ci/e2e/stage"
	"cutover.dev/ci/release"
)

const (
	// pairs is how often both are measured, in turn.
	pairs = 5
	// few and many are the sizes at which requests are counted. Times are measured
	// at the first.
	few, many = 3, 30
	// maxSeconds is how much longer than kubectl a deploy may take, maxGrowth by
	// which part its requests may grow from few replicas to many.
	maxSeconds, maxGrowth = 0.5, 0.2
	// atMost ends everything, should it hang.
	atMost = time.Hour
)

// report is build/bench.json.
type report struct {
	Floor   []float64 `json:"floor_s"`
	Cutover []float64 `json:"cutover_s"`
	// Steps are the seconds per step of each deploy.
	Steps []map[string]float64 `json:"cutover_steps_s"`
	// Requests leave out those for the Lease, which follow the clock and not the
	// number of pods: Lease has them.
	Requests     int            `json:"api_requests"`
	RequestsMany int            `json:"api_requests_30_replicas"`
	Lease        int            `json:"lease_requests"`
	LeaseMany    int            `json:"lease_requests_30_replicas"`
	Kinds        map[string]int `json:"api_requests_by_kind"`
	KindsMany    map[string]int `json:"api_requests_by_kind_30_replicas"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "cutover-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b, err := open(ctx, root, dir)
	if err != nil {
		return err
	}
	var r report
	err = b.times(ctx, &r)
	if err == nil {
		err = b.requests(ctx, &r)
	}
	if err := errors.Join(err, b.Keep("bench.json", r)); err != nil {
		return err // what was left is worth a look
	}
	r.print()
	return errors.Join(r.judge(), b.Strike(ctx))
}

// bench is a stage on which one image is deployed over and over, each time as a
// release of its own.
type bench struct {
	*stage.Stage
	dir     string
	version stage.Version
	round   int
}

// open sets the stage. The first release migrates the database; those that are
// measured have no migrations.
func open(ctx context.Context, root, dir string) (*bench, error) {
	s, err := stage.Open(root, "notes-bench")
	if err != nil {
		return nil, err
	}
	b := &bench{Stage: s, dir: dir}
	if err := s.Copy(dir); err != nil {
		return nil, err
	}
	// Small enough for both colours of many pods on a small machine.
	if err := s.Edit(stage.Edit{From: "requests: {cpu: 50m, memory: 32Mi}", To: "requests: {cpu: 20m, memory: 16Mi}"},
		stage.Edit{From: "  timeout: 30s", To: "  timeout: 5m"}); err != nil {
		return nil, err
	}
	stage.Say("a namespace of its own with a PostgreSQL in it, the program and an image")
	if err := errors.Join(s.Clear(ctx), s.Set(ctx)); err != nil {
		return nil, err
	}
	if err := s.Build(ctx); err != nil {
		return nil, err
	}
	if b.version, err = s.Publish(ctx, "bench"); err != nil {
		return nil, err
	}
	if _, _, err := b.deploy(ctx, few); err != nil {
		return nil, err
	}
	return b, s.Drop("migrations")
}

// deploy takes the image to the cluster once more. The release differs from the
// one before in a variable.
func (b *bench) deploy(ctx context.Context, replicas int, more ...string) (stage.Call, *release.Record, error) {
	b.round++
	flag, err := b.Variant("round", stage.Edit{From: "replicas: 2 ", To: fmt.Sprintf("env: {ROUND: \"%d\"}\nreplicas: %d ", b.round, replicas)})
	if err != nil {
		return stage.Call{}, nil, err
	}
	p, err := b.Deploy(ctx, b.version, append(more, flag)...)
	if err != nil {
		return stage.Call{}, nil, err
	}
	call, err := p.Wait()
	if err != nil {
		return call, nil, err
	}
	rec, err := b.Record(ctx)
	if err == nil && (call.Code != 0 || rec.Outcome != release.Succeeded) {
		err = fmt.Errorf("a deploy ended with %d: %s", call.Code, call.Output())
	}
	return call, rec, err
}

// times measures the floor and cutover in turn.
func (b *bench) times(ctx context.Context, r *report) error {
	rec, err := b.Record(ctx)
	if err != nil {
		return err
	}
	f, err := b.floor(ctx, rec)
	if err != nil {
		return err
	}
	for range pairs {
		took, err := f.deploy(ctx)
		if err != nil {
			return err
		}
		r.Floor = append(r.Floor, took)
		moment, err := b.switched(ctx, stage.Names)
		if err != nil {
			return err
		}
		call, rec, err := b.deploy(ctx, few)
		if err != nil {
			return err
		}
		at, err := moment()
		if err != nil {
			return err
		}
		r.Cutover = append(r.Cutover, at.Sub(call.Start).Seconds())
		steps := map[string]float64{}
		for _, s := range rec.Steps {
			steps[s.Name] = s.Seconds()
		}
		r.Steps = append(r.Steps, steps)
		stage.Say("kubectl %.2f s, cutover %.2f s (preflight %.2f, migrate %.2f, raise %.2f, verify %.2f, switch %.2f)", took, r.Cutover[len(r.Cutover)-1],
			steps["preflight"], steps["migrate"], steps["raise"], steps["verify"], steps["switch"])
	}
	return f.strike(ctx)
}

// requests counts those of one deploy at each size, from that size to the same.
func (b *bench) requests(ctx context.Context, r *report) error {
	c, err := newCounter(b.Account(), filepath.Join(b.dir, "kubeconfig"))
	if err != nil {
		return err
	}
	defer c.close()
	// So many pods are more than one database and a small machine serve.
	if err := b.Edit(stage.Edit{From: "ready: /readyz", To: "ready: /livez"},
		stage.Edit{From: "read: /notes?limit=5", To: "read: /version"}, stage.Edit{From: "timeout: 5s", To: "timeout: 30s"}); err != nil {
		return err
	}
	if _, _, err := b.deploy(ctx, few, c.flag()); err != nil {
		return err
	}
	r.Requests, r.Lease, r.Kinds = c.take()
	stage.Say("%d replicas: %d requests and %d for the Lease", few, r.Requests, r.Lease)
	if _, _, err := b.deploy(ctx, many); err != nil {
		return err
	}
	if _, _, err := b.deploy(ctx, many, c.flag()); err != nil {
		return err
	}
	r.RequestsMany, r.LeaseMany, r.KindsMany = c.take()
	stage.Say("%d replicas: %d requests and %d for the Lease", many, r.RequestsMany, r.LeaseMany)
	return nil
}

func (r report) print() {
	fmt.Printf("\nkubectl   %.2f s  %.2f\ncutover   %.2f s  %.2f\ndifference of the medians: %+.2f s (at most %+.1f)\n",
		median(r.Floor), r.Floor, median(r.Cutover), r.Cutover, r.difference(), maxSeconds)
	fmt.Printf("requests to the API server: %d with %d replicas, %d with %d: %+.0f %% (at most %+.0f %%)\n",
		r.Requests, few, r.RequestsMany, many, 100*r.growth(), 100*maxGrowth)
}

func (r report) difference() float64 { return median(r.Cutover) - median(r.Floor) }

func (r report) growth() float64 { return float64(r.RequestsMany)/float64(r.Requests) - 1 }

func (r report) judge() error {
	var wrong []error
	if r.difference() > maxSeconds {
		wrong = append(wrong, fmt.Errorf("a deploy takes %.2f s longer than kubectl", r.difference()))
	}
	if r.Requests == 0 || r.growth() > maxGrowth {
		wrong = append(wrong, fmt.Errorf("the requests grow with the number of pods: from %d to %d", r.Requests, r.RequestsMany))
	}
	return errors.Join(wrong...)
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

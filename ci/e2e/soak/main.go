// Command soak does to deploys, for as long as one likes, what can happen to them,
// on a real cluster and under load: they are killed at random moments, watched by
// nobody but the guard, the cluster's own programs die, half of the new pods
// vanish. Then it switches to and fro under heavy traffic. Not one request may
// fail; and with releases that do lose some, the load has to see it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"

	"cutover.dev/ci/e2e/soak/trial"
	"cutover.dev/ci/e2e/stage"
	"cutover.dev/ci/probe"
)

// options are the flags.
type options struct {
	kills    trial.Kills
	switches trial.Switches
	part     string
}

// report is build/soak.json. A part that was not run is left out.
type report struct {
	*trial.KillsReport
	Switches *trial.Traffic  `json:"switches,omitempty"`
	Seeing   []trial.Traffic `json:"seeing,omitempty"`
}

func main() {
	o := options{}
	flag.IntVar(&o.kills.N, "n", 100, "how many deploys are killed")
	flag.Uint64Var(&o.kills.Seed, "seed", rand.Uint64N(1_000_000), "draws the moments; the same seed draws the same ones")
	flag.BoolVar(&o.kills.APIServer, "api-server", true, "kill the lab's API server once, for 20 s, in a deploy")
	flag.BoolVar(&o.kills.Kubelet, "kubelet", true, "kill the lab's kubelet once, for 20 s, in a deploy")
	flag.BoolVar(&o.kills.Pods, "pods", true, "delete half of the new pods once, in a deploy")
	flag.IntVar(&o.switches.N, "switches", 20, "how many switches there are at least under heavy traffic")
	flag.IntVar(&o.switches.Rate, "rate", 500, "the heavy traffic's requests per second")
	flag.IntVar(&o.switches.Requests, "requests", 200_000, "how many requests there are at least")
	flag.StringVar(&o.part, "part", "", "kills, switches or seeing alone; default: all three")
	flag.Parse()
	o.kills.Undisturbed, o.kills.Guarded = 3, 10

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "cutover-soak-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := stage.Open(root, "notes-soak")
	if err != nil {
		return err
	}
	if err := s.Copy(dir); err != nil {
		return err
	}
	stage.Say("a namespace of its own with a PostgreSQL in it")
	if err := errors.Join(s.Clear(ctx), s.Set(ctx)); err != nil {
		return err
	}
	t, err := trial.Open(ctx, s, stage.Say)
	if err != nil {
		return err
	}
	r, wrong := parts(ctx, t, o)
	fmt.Print("\n", table(r))
	if err := s.Keep("soak.json", r); err != nil {
		return errors.Join(wrong, err)
	}
	if wrong != nil { // what was left is worth a look
		return wrong
	}
	return s.Strike(ctx)
}

// parts runs what was asked for, one after the other, and returns everything that
// was wrong.
func parts(ctx context.Context, t *trial.Trial, o options) (r report, wrong error) {
	add := func(errs ...error) { wrong = errors.Join(append([]error{wrong}, errs...)...) }
	known := false
	for _, part := range []struct {
		name string
		run  func()
	}{
		{"kills", func() {
			stage.Say("%d kills, seed %d", o.kills.N, o.kills.Seed)
			got, err := t.Kill(ctx, o.kills)
			r.KillsReport = &got
			add(err, got.Wrong())
		}},
		{"switches", func() {
			stage.Say("%d switches and %d requests, %d a second", o.switches.N, o.switches.Requests, o.switches.Rate)
			got, err := t.Switch(ctx, o.switches)
			r.Switches = &got
			add(err, o.switches.Judge(got))
		}},
		{"seeing", func() {
			for _, fault := range []string{"abrupt", "drops-idle"} {
				got, err := t.See(ctx, fault, o.switches.Rate)
				r.Seeing = append(r.Seeing, got)
				add(err, got.Blind(probe.Kept))
			}
		}},
	} {
		if o.part == "" || o.part == part.name {
			known = true
			part.run()
		}
	}
	if !known {
		add(fmt.Errorf("there is no part %q", o.part))
	}
	return r, wrong
}

func table(r report) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "part\twhat\trequests\tfailed")
	if k := r.KillsReport; k != nil {
		fmt.Fprintf(w, "kills\t%d: %d resumed, %d rolled back, %d guarded; longest recovery %.1f s; seed %d\t%d\t%d\n",
			k.Kills, k.Resumed, k.RolledBack, k.Guarded, k.Longest, k.Seed, k.Requests, k.Failed)
		for _, e := range k.Events {
			switch e.Kind {
			case "kill", "guard", "undisturbed":
			default:
				fmt.Fprintf(w, "\t%s: %s\t%d\t%d\n", e.Kind, e.Outcome, e.Requests, e.Failed)
			}
		}
	}
	if s := r.Switches; s != nil {
		fmt.Fprintf(w, "switches\t%d in %.0f s\t%d\t%d\n", s.Switches, s.Seconds, s.Requests, s.Failed)
	}
	for _, s := range r.Seeing {
		fmt.Fprintf(w, "seeing\t%s: of %d kept requests failed %d\t%d\t%d\n", s.Fault, s.Classes[probe.Kept].Sent, s.Classes[probe.Kept].Failed, s.Requests, s.Failed)
	}
	w.Flush()
	return b.String()
}

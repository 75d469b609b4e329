package trial

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cutover.dev/ci/e2e/stage"
	"cutover.dev/ci/probe"
)

// Switches says how often users are led from one version to another, and how many
// they are.
type Switches struct {
	// N is the least number of switches, Requests that of requests.
	N, Requests int
	// Rate is in requests per second.
	Rate int
}

// Traffic is what a load saw while versions changed.
type Traffic struct {
	Fault    string                            `json:"fault,omitempty"`
	Switches int                               `json:"switches"`
	Requests int                               `json:"requests"`
	Failed   int                               `json:"failed"`
	Classes  map[probe.Class]probe.ClassResult `json:"classes"`
	Failures map[probe.Kind]probe.Failures     `json:"failures,omitempty"`
	Versions map[string]int                    `json:"versions"`
	Seconds  float64                           `json:"seconds"`
}

// Switch deploys one good version after the other under load, until both the
// switches and the requests are as many as wanted. Not one request may fail.
func (t *Trial) Switch(ctx context.Context, s Switches) (Traffic, error) {
	return t.under(ctx, "load-switches", s.Rate, func(load *stage.Load, seen *Traffic) error {
		for {
			now := load.Since(time.Time{})
			if seen.Switches >= s.N && now.OK+now.Failed >= s.Requests {
				return nil
			}
			t.Say("%d switches, %d of %d requests failed", seen.Switches, now.Failed, now.OK+now.Failed)
			rec, err := t.Record(ctx)
			if err != nil {
				return err
			}
			if _, err := t.take(ctx, t.next(rec)); err != nil {
				return err
			}
			seen.Switches++
		}
	})
}

// Judge says what is wrong with traffic of which nothing may be lost.
func (s Switches) Judge(seen Traffic) error {
	switch {
	case seen.Failed > 0:
		return fmt.Errorf("%d of %d requests failed: %v", seen.Failed, seen.Requests, seen.Failures)
	case seen.Requests < s.Requests || seen.Switches < s.N:
		return fmt.Errorf("only %d requests and %d switches", seen.Requests, seen.Switches)
	}
	return nil
}

// See leads the users to a release with a fault and away from it, while nothing
// of the run looks at requests: the load has to see what is lost.
func (t *Trial) See(ctx context.Context, fault string, rate int) (Traffic, error) {
	flag, err := t.Variant("seeing",
		stage.Edit{From: "  drain: true", To: "  drain: false"},
		stage.Edit{From: "  # tolerate: 1 ", To: "  tolerate: 100000 "},
		stage.Edit{From: "  sleep: 3s", To: "  sleep: 0s"})
	if err != nil {
		return Traffic{}, err
	}
	faulty, err := t.version(ctx, fault, "FAULT="+fault)
	if err != nil {
		return Traffic{}, err
	}
	seen, err := t.under(ctx, "load-"+fault, rate, func(_ *stage.Load, seen *Traffic) error {
		for _, v := range []stage.Version{faulty, t.good[0]} {
			if _, err := t.take(ctx, v, flag); err != nil {
				return err
			}
			seen.Switches++
		}
		return nil
	})
	seen.Fault = fault
	return seen, err
}

// Blind says so when the load saw no request of the class fail, though the release
// had a fault.
func (seen Traffic) Blind(class probe.Class) error {
	if seen.Classes[class].Failed > 0 {
		return nil
	}
	return fmt.Errorf("the release had the fault %s, but the load saw no %s request fail of %d", seen.Fault, class, seen.Classes[class].Sent)
}

// cheap is a path that needs no database: many requests are to find what a switch
// loses, not how many a small PostgreSQL can answer.
const cheap = "/version"

// under does something under load, whose requests are fresh, kept and slow, and
// returns what that saw.
func (t *Trial) under(ctx context.Context, name string, rate int, do func(*stage.Load, *Traffic) error) (Traffic, error) {
	load, err := t.StartLoad(ctx, t.good[0].Bundle, stage.Traffic{Name: name, Rate: rate, Read: cheap, Slow: "/slow?for=3s", AtMost: 24 * time.Hour})
	if err != nil {
		return Traffic{}, err
	}
	var seen Traffic
	err = do(load, &seen)
	_, result, stopErr := load.Stop(context.WithoutCancel(ctx))
	seen.Requests, seen.Failed = result.OK+result.Failed, result.Failed
	seen.Classes, seen.Failures, seen.Versions = result.Classes, result.Failures, result.Versions
	seen.Seconds = result.End.Sub(result.Start).Seconds()
	return seen, errors.Join(err, stopErr)
}

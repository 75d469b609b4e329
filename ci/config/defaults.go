package config

import (
	"path"
	"time"
)

// defaults returns what holds for every key that a file leaves out. What a file
// may lack as a whole (pointers) stands here too, for files that have it; the
// reader drops what the file does not mention.
func defaults() *Env {
	return &Env{
		Replicas:   2,
		Image:      Image{Build: Build{Context: "."}},
		Health:     Health{Ready: "/readyz", Live: "/livez", Version: "/version"},
		Autoscale:  &Autoscale{CPU: 80},
		Migrations: &Migrations{Engine: "postgres", Timeout: 10 * time.Minute, RollbackWindow: 24 * time.Hour, Image: "postgres:17", Backup: &Backup{Timeout: 30 * time.Minute}},
		Test:       &Test{Dir: "."},
		Raise:      Raise{Timeout: 5 * time.Minute},
		Verify:     Verify{Answers: 20, Timeout: time.Minute, Drain: true},
		Smoke:      &Smoke{Timeout: 2 * time.Minute},
		Probe:      Probe{Rate: 20, Write: &ProbeWrite{}, Timeout: 5 * time.Second, Samples: 20},
		Metrics:    &Metrics{},
		Bake:       Bake{For: 30 * time.Second, Interval: 10 * time.Second},
		Shutdown:   Shutdown{Sleep: 5 * time.Second, Grace: 45 * time.Second},
	}
}

// derive fills in the defaults that depend on other values, where the keys were
// not given.
func (e *Env) derive(given func(string) bool) {
	if build := &e.Image.Build; build.Dockerfile == "" {
		build.Dockerfile = path.Join(build.Context, "Dockerfile")
	}
	if e.Probe.Read == "" {
		e.Probe.Read = e.Health.Version
	}
	if a := e.Autoscale; a != nil && !given("replicas") {
		e.Replicas = min(max(e.Replicas, a.Min), a.Max)
	}
}

package config

import (
	"path"
	"time"
)

// defaults returns what holds for every key that a file leaves out. Migrations
// and Test stand here too, for files that have them; the reader drops the ones
// that the file does not mention.
func defaults() *Env {
	return &Env{
		Replicas:   2,
		Image:      Image{Build: Build{Context: "."}},
		Health:     Health{Ready: "/readyz", Live: "/livez", Version: "/version"},
		Migrations: &Migrations{Engine: "postgres", Timeout: 10 * time.Minute},
		Test:       &Test{Dir: "."},
		Raise:      Raise{Timeout: 5 * time.Minute},
		Verify:     Verify{Answers: 20, Timeout: time.Minute},
		Shutdown:   Shutdown{Sleep: 5 * time.Second, Grace: 45 * time.Second},
	}
}

// derive fills in the defaults that depend on other values.
func (e *Env) derive() {
	if build := &e.Image.Build; build.Dockerfile == "" {
		build.Dockerfile = path.Join(build.Context, "Dockerfile")
	}
}

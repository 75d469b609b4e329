package main

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// fault makes this program misbehave, to show what cutover does about it. It can
// be chosen only when the program is linked:
//
//	go build -ldflags "-X main.fault=never-ready"
//
// An application of your own has no need of this file.
//
//	""             behave
//	never-ready    /readyz always answers 503
//	crash          exit with code 1 after 5 seconds
//	wrong-version  say another version than was built
//	errors         answer 5% of the requests to /notes with 500, but none that
//	               comes through a preview Service
//	forgetful      list no notes, whatever there are
//	two-faced      the same, but not through a preview Service
//	sluggish       answer /notes a second late, but not through a preview Service
//	miscount       tell Prometheus of a thousand notes for each that is created
//	slow           answer 2 seconds late, except the probes and metrics
//	hang           ignore SIGTERM
//	abrupt         exit on SIGTERM at once, whatever is in flight
//	drops-idle     close connections that are idle for 50 ms, without a word before
//	leak           use 20 MB more memory each second
var fault = ""

// leaked is what the fault "leak" never frees.
var leaked [][]byte

// startFault begins the faults that don't need a request.
func startFault() error {
	switch fault {
	case "":
		return nil
	case "never-ready", "errors", "forgetful", "two-faced", "sluggish", "slow", "drops-idle", "miscount":
		// Done by withFault, idleTimeout and eachNote.
	case "crash":
		time.AfterFunc(5*time.Second, func() { os.Exit(1) })
	case "wrong-version":
		version += "-wrong"
	case "hang":
		signal.Ignore(syscall.SIGTERM)
	case "abrupt":
		sigterm := make(chan os.Signal, 1)
		signal.Notify(sigterm, syscall.SIGTERM)
		go func() {
			<-sigterm
			os.Exit(1)
		}()
	case "leak":
		go func() {
			for range time.Tick(time.Second) {
				chunk := make([]byte, 20<<20)
				for i := range chunk { // Memory counts once it is written.
					chunk[i] = 1
				}
				leaked = append(leaked, chunk)
			}
		}()
	default:
		return fmt.Errorf("there is no fault %q", fault)
	}
	slog.Warn("this program was built to misbehave", "fault", fault)
	return nil
}

// idleTimeout is the fault that happens to connections; without it the wanted
// time holds.
func idleTimeout(wanted time.Duration) time.Duration {
	if fault == "drops-idle" {
		return 50 * time.Millisecond
	}
	return wanted
}

// withFault is the faults that happen to requests.
func withFault(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		isNotes := r.URL.Path == "/notes" || strings.HasPrefix(r.URL.Path, "/notes/")
		isList := r.URL.Path == "/notes" && r.Method == http.MethodGet
		isPreview := strings.Contains(r.Host, "-preview")
		isProbe := r.URL.Path == "/livez" || r.URL.Path == "/readyz"
		switch {
		case fault == "never-ready" && r.URL.Path == "/readyz":
			writeJSON(w, http.StatusServiceUnavailable, map[string]any{"ready": false, "reason": "built never to be ready"})
			return
		case fault == "errors" && isNotes && !isPreview && rand.Float64() < 0.05:
			writeError(w, http.StatusInternalServerError, "built to fail now and then")
			return
		case isList && (fault == "forgetful" || fault == "two-faced" && !isPreview):
			writeJSON(w, http.StatusOK, []any{})
			return
		case fault == "sluggish" && isNotes && !isPreview:
			time.Sleep(time.Second)
		case fault == "slow" && !isProbe:
			time.Sleep(2 * time.Second)
		}
		next.ServeHTTP(w, r)
	})
}

// eachNote is what a created note adds to the metric.
func eachNote() float64 {
	if fault == "miscount" {
		return 1000
	}
	return 1
}

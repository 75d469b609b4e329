package main

import (
	"fmt"
	"net/http"
	"time"
)

// How long GET /slow waits. The longest wait is shorter than finishTimeout, so
// that a shutdown lets it end.
const (
	defaultWait = time.Second
	maxWait     = 10 * time.Second
)

// clientGone is the code, as nginx uses it, that metrics show for a request whose
// client did not wait for the answer.
const clientGone = 499

// waitAndAnswer answers as late as the client asks for. A rollout under load
// finds such requests in flight, as it would find those of a slow database.
func (s *server) waitAndAnswer(w http.ResponseWriter, r *http.Request) {
	wait, err := waitOf(r)
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		writeJSON(w, http.StatusOK, map[string]string{"waited": wait.String()})
	case <-r.Context().Done():
		w.WriteHeader(clientGone)
	}
}

// waitOf answers how long a request asks to wait.
func waitOf(r *http.Request) (time.Duration, error) {
	value := r.URL.Query().Get("for")
	if value == "" {
		return defaultWait, nil
	}
	wait, err := time.ParseDuration(value)
	if err != nil || wait < 0 || wait > maxWait {
		return 0, fmt.Errorf("for must be a duration from 0s to %s, like 3s", maxWait)
	}
	return wait, nil
}

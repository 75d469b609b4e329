package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

// neededSchema is the oldest schema that this version's code works with: the
// number of a file in migrations/. Migration 2 only makes an index, so version 1
// is enough.
const neededSchema = 1

// readyTimeout is how long /readyz waits for the database.
const readyTimeout = 2 * time.Second

// livez says that the process runs. It does not ask the database: restarting
// this process would not mend that.
func (s *server) livez(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]bool{"live": true})
}

// readyz says whether this process should get requests, and if not, why.
func (s *server) readyz(w http.ResponseWriter, r *http.Request) {
	schema, reason, cause := s.readiness(r.Context())
	s.logReadiness(reason, cause)
	if reason != "" {
		writeJSON(w, http.StatusServiceUnavailable, map[string]any{"ready": false, "reason": reason})
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"ready": true, "schema": schema})
}

// readiness answers the schema of the database, and why this process is not
// ready ("" if it is), with the cause if there is one: that is for the log only.
//
// The schema may be newer than needed, never older. Were both to be equal, then
// the next version's migration would make this version unready while it still
// serves everyone, and a rollback to this version would be impossible.
func (s *server) readiness(ctx context.Context) (schema int64, reason string, cause error) {
	if s.draining.Load() {
		return 0, "shutting down", nil
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()

	schema, err := s.store.schema(ctx)
	switch {
	case err != nil:
		return 0, "the database does not answer", err
	case schema < neededSchema:
		return schema, fmt.Sprintf("the database has schema version %d, this program needs at least %d", schema, neededSchema), nil
	}
	return schema, "", nil
}

// logReadiness logs changes only: probes come every few seconds.
func (s *server) logReadiness(reason string, cause error) {
	if last := s.reason.Swap(&reason); last != nil && *last == reason {
		return
	}
	switch {
	case reason == "":
		slog.Info("ready")
	case cause == nil:
		slog.Warn("not ready", "reason", reason)
	default:
		slog.Warn("not ready", "reason", reason, "error", cause)
	}
}

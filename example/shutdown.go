package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// finishTimeout is how long requests in flight may take to finish after the
// drain. It is longer than queryTimeout and maxWait, so that each of them gets its
// answer.
// A pod's terminationGracePeriodSeconds must be longer than both together.
const finishTimeout = 20 * time.Second

// serve answers requests until ctx ends, and then shuts down.
func (s *server) serve(ctx context.Context, listener net.Listener, drain time.Duration) error {
	web := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		// Long, because a client that sends in the moment in which its idle
		// connection is closed loses that request.
		IdleTimeout: idleTimeout(2 * time.Minute),
	}
	failed := make(chan error, 1)
	go func() { failed <- web.Serve(listener) }()

	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return s.shutdown(web, drain)
	}
}

// shutdown ends the server without losing a request.
//
// http.Server.Shutdown alone would not do: it refuses new connections at once,
// though Kubernetes needs a moment to stop sending them here, and it closes idle
// connections at once, though a client may be about to send on one. So at first
// everything is answered as before, only with "Connection: close" in every
// answer (everyAnswer adds it): each client that sends something during the
// drain opens its next connection elsewhere, knowing that its request was
// answered. (SetKeepAlivesEnabled(false) adds that header too, but it also
// closes the idle connections.)
//
// Only then is the server shut down. A connection that is still idle has been
// silent for the whole drain: if your clients pause longer than that, lengthen
// SHUTDOWN_DRAIN.
func (s *server) shutdown(web *http.Server, drain time.Duration) error {
	slog.Info("draining", "for", drain.String())
	s.draining.Store(true)
	time.Sleep(drain)

	ctx, cancel := context.WithTimeout(context.Background(), finishTimeout)
	defer cancel()
	if err := web.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("requests were still in flight after %s: %w", finishTimeout, err), web.Close())
	}
	slog.Info("every request was answered")
	return nil
}

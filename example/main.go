// Notes is a small web service that keeps notes in PostgreSQL. It is the
// example that cutover deploys, and it does what an application has to do so
// that a deployment loses no request:
//
//   - it is ready only when it can do its work (ready.go),
//   - it needs at least a schema version, never exactly one (ready.go),
//   - it leaves its clients politely (shutdown.go),
//   - it says which version answered (server.go).
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// version is stamped when the program is linked:
//
//	go build -ldflags "-X main.version=1.2.3"
var version = "dev"

func main() {
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stdout, nil)))

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()

	if err := run(ctx, os.Getenv); err != nil {
		slog.Error("notes failed", "error", err)
		os.Exit(1)
	}
}

// run serves notes until ctx ends, and then shuts down without losing a
// request.
func run(ctx context.Context, getenv func(string) string) error {
	conf, err := configFrom(getenv)
	if err != nil {
		return err
	}
	if err := startFault(); err != nil {
		return err
	}

	store, err := openStore(conf.databaseURL)
	if err != nil {
		return err
	}
	defer store.close()

	listener, err := net.Listen("tcp", ":"+conf.port)
	if err != nil {
		return err
	}
	slog.Info("notes is listening", "address", listener.Addr().String(), "version", version, "release", conf.release)
	return newServer(store, conf.release).serve(ctx, listener, conf.drain)
}

// config is what the environment says.
type config struct {
	databaseURL string        // DATABASE_URL, required
	port        string        // PORT
	release     string        // CUTOVER_RELEASE, empty outside cutover
	drain       time.Duration // SHUTDOWN_DRAIN
}

func configFrom(getenv func(string) string) (config, error) {
	conf := config{
		databaseURL: getenv("DATABASE_URL"),
		port:        getenv("PORT"),
		release:     getenv("CUTOVER_RELEASE"),
		drain:       2 * time.Second,
	}
	if conf.databaseURL == "" {
		return config{}, errors.New("DATABASE_URL is not set: it names the PostgreSQL database, like postgres://user:password@host/database")
	}
	if conf.port == "" {
		conf.port = "8080"
	}
	if value := getenv("SHUTDOWN_DRAIN"); value != "" {
		drain, err := time.ParseDuration(value)
		if err != nil || drain < 0 {
			return config{}, fmt.Errorf("SHUTDOWN_DRAIN is %q: it must be a duration like 2s", value)
		}
		conf.drain = drain
	}
	return conf, nil
}

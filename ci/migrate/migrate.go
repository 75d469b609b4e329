// Package migrate brings a PostgreSQL database to a release's schema with goose.
// It runs as a Job inside the cluster, from the release's bundle.
package migrate

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the "pgx" driver
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// Applied is one migration that ran.
type Applied struct {
	Version int64   `json:"version"`
	File    string  `json:"file"`
	Seconds float64 `json:"seconds"`
}

// Result is what a migration did, also when it failed.
type Result struct {
	From    int64     `json:"from"`
	To      int64     `json:"to"`
	Applied []Applied `json:"applied,omitempty"`
	// Failed is the file that failed, Error why.
	Failed string `json:"failed,omitempty"`
	Error  string `json:"error,omitempty"`
}

// String says in one line what was done.
func (r Result) String() string {
	if len(r.Applied) == 0 {
		return fmt.Sprintf("schema is at %d; nothing to apply", r.To)
	}
	var files []string
	for _, a := range r.Applied {
		files = append(files, a.File)
	}
	return fmt.Sprintf("schema %d -> %d: %s", r.From, r.To, strings.Join(files, ", "))
}

// Up applies every pending migration of files to the database, one runner at a
// time. The Result says how far it came, whatever the error.
func Up(ctx context.Context, dsn string, files fs.FS) (Result, error) {
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return Result{}, errors.New("the connection string is not one of PostgreSQL") // err may quote it
	}
	defer db.Close()
	if err := db.PingContext(ctx); err != nil {
		return Result{}, fmt.Errorf("the database cannot be reached: %w", err)
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return Result{}, err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return Result{}, err
	}
	var result Result
	if result.From, err = provider.GetDBVersion(ctx); err != nil {
		return result, err
	}
	done, err := provider.Up(ctx)
	if partial, ok := errors.AsType[*goose.PartialError](err); ok {
		done = partial.Applied
		if partial.Failed != nil && partial.Failed.Source != nil {
			result.Failed = path.Base(partial.Failed.Source.Path)
		}
	}
	for _, m := range done {
		result.Applied = append(result.Applied, Applied{
			Version: m.Source.Version, File: path.Base(m.Source.Path), Seconds: m.Duration.Round(time.Millisecond).Seconds()})
	}
	to, versionErr := provider.GetDBVersion(context.WithoutCancel(ctx))
	result.To = to
	return result, errors.Join(err, versionErr)
}

// resultPrefix marks the line of a Job's log that holds the Result.
const resultPrefix = "result: "

// Line returns the line by which a Job tells its result.
func (r Result) Line() string {
	data, err := json.Marshal(r)
	if err != nil {
		panic(fmt.Sprintf("migrate: a result cannot be encoded: %v", err)) // only plain data inside
	}
	return resultPrefix + string(data)
}

// ParseResult finds the Result in a Job's log.
func ParseResult(log string) (r Result, found bool) {
	for line := range strings.Lines(log) {
		if text, ok := strings.CutPrefix(line, resultPrefix); ok {
			found = json.Unmarshal([]byte(text), &r) == nil
		}
	}
	return r, found
}

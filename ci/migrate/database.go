package migrate

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3/lock"
)

// PostgreSQL's error codes that something is decided by, from appendix A of its
// manual.
const (
	lockNotAvailable = "55P03"
	deadlockDetected = "40P01"
	undefinedTable   = "42P01"
)

// lockTimeout is how long a statement waits for a lock, unless its file says
// otherwise. Whoever asks for the table meanwhile waits behind it, so this is also
// what the application's slowest request gains. pgroll's default is the same.
const lockTimeout = 500 * time.Millisecond

// target is a database and how to reach it.
type target struct {
	config *pgx.ConnConfig
	// name is the application_name of every session, by which another run, or a
	// person, can tell what it is.
	name string
}

// reach parses a connection string. Its errors never quote it.
func reach(dsn, release string) (*target, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("the connection string is not one of PostgreSQL") // err may quote it
	}
	return &target{config: config, name: sessionPrefix + release + "/" + strings.ToLower(rand.Text()[:6])}, nil
}

// sessionPrefix begins the application_name of every session that migrates.
const sessionPrefix = "cutover-migrate/"

// settings are what a session sets for itself.
type settings struct {
	lock      time.Duration // 0: no limit
	statement time.Duration
	readOnly  bool
}

// open returns a database whose sessions have the settings. A session of a client
// that has vanished ends by itself, with what it held.
func (t *target) open(s settings) *sql.DB {
	config := t.config.Copy()
	for name, value := range map[string]string{
		"application_name":                    t.name,
		"lock_timeout":                        milliseconds(s.lock),
		"statement_timeout":                   milliseconds(s.statement),
		"idle_in_transaction_session_timeout": milliseconds(time.Minute),
		"tcp_keepalives_idle":                 "10",
		"tcp_keepalives_interval":             "5",
		"tcp_keepalives_count":                "3",
	} {
		config.RuntimeParams[name] = value
	}
	if s.readOnly {
		config.RuntimeParams["default_transaction_read_only"] = "on"
	}
	return stdlib.OpenDB(*config, stdlib.OptionAfterConnect(endWithClient))
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// endWithClient makes the server look, while a statement runs, whether its client
// still lives. PostgreSQL can since version 14.
func endWithClient(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `SELECT set_config(name, '5s', false) FROM pg_settings WHERE name = 'client_connection_check_interval'`)
	return err
}

// refused explains why a connection could not be made.
func refused(err error) error {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && strings.Contains(pg.Message, "startup parameter") {
		return fmt.Errorf("between here and the database stands a pooler, such as PgBouncer (%s): a migration needs a session of its own, so give it the database's own address", pg.Message)
	}
	return fmt.Errorf("the database cannot be used: %w", err)
}

// code returns PostgreSQL's code of an error, empty if it is not one of its.
func code(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}

// runLock is the key of the advisory lock that a run holds from its first look to
// its end: "cutover" in ASCII. goose's own lock, inside of it, goes with the
// session that migrates.
const runLock int64 = 0x6375746f766572

// Session is a session of the database, as another one sees it.
type Session struct {
	PID         int    `json:"pid"`
	Application string `json:"application,omitempty"`
	User        string `json:"user,omitempty"`
	State       string `json:"state,omitempty"`
	// Seconds is how long its transaction is open.
	Seconds float64 `json:"seconds,omitempty"`
	Query   string  `json:"query,omitempty"`
}

// String names the session so that a person can find it.
func (s Session) String() string {
	text := "pid " + strconv.Itoa(s.PID)
	if s.Application != "" {
		text += " (" + s.Application + ")"
	}
	if s.User != "" {
		text += ", user " + s.User
	}
	if s.State != "" {
		text += ", " + s.State
	}
	if s.Seconds > 0 {
		text += fmt.Sprintf(", its transaction open for %.0f s", s.Seconds)
	}
	if s.Query != "" {
		text += ": " + s.Query
	}
	return text
}

// sessions are the columns of a Session, of pg_stat_activity under the name a. What
// an account may not see of others is empty.
const sessions = `a.pid, coalesce(a.application_name, ''), coalesce(a.usename, ''), coalesce(a.state, ''),
	coalesce(extract(epoch FROM clock_timestamp() - a.xact_start), 0)::float8,
	left(regexp_replace(coalesce(a.query, ''), '\s+', ' ', 'g'), 120)`

// querier is a database or one connection to it.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func readSessions(ctx context.Context, db querier, query string, args ...any) ([]Session, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Session
	for rows.Next() {
		var s Session
		if err := rows.Scan(&s.PID, &s.Application, &s.User, &s.State, &s.Seconds, &s.Query); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

// lockHolders returns who holds the lock of a run, or goose's, but for oneself.
func lockHolders(ctx context.Context, db querier) ([]Session, error) {
	return readSessions(ctx, db, `SELECT DISTINCT `+sessions+`
		FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.pid <> pg_backend_pid()
		AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
		AND (l.classid::bigint << 32) + l.objid::bigint IN ($1, $2)`, runLock, lock.DefaultLockID)
}

// blockers returns who holds what a session of that name waits for.
func blockers(ctx context.Context, db querier, name string) ([]Session, error) {
	return readSessions(ctx, db, `SELECT DISTINCT `+sessions+`
		FROM pg_stat_activity w, unnest(pg_blocking_pids(w.pid)) b(pid) JOIN pg_stat_activity a ON a.pid = b.pid
		WHERE w.application_name = $1 AND w.wait_event_type = 'Lock'`, name)
}

// longTransactions returns who has held a lock on one of the tables for longer
// than a while.
func longTransactions(ctx context.Context, db querier, tables []string) ([]Session, error) {
	return readSessions(ctx, db, `SELECT DISTINCT `+sessions+`
		FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE l.relation IN (SELECT to_regclass(t) FROM unnest($1::text[]) t)
		AND a.xact_start < clock_timestamp() - interval '30 seconds' AND a.pid <> pg_backend_pid()`, tables)
}

// pooled reports whether two statements of one connection can reach two sessions of
// the server: then nothing that a session holds can be relied on. Two connections
// each set a value of their own and read it again, in the protocol that a pooler
// needs least for.
func pooled(ctx context.Context, db *sql.DB) (bool, error) {
	first, err := db.Conn(ctx)
	if err != nil {
		return false, err
	}
	defer first.Close()
	second, err := db.Conn(ctx)
	if err != nil {
		return false, err
	}
	defer second.Close()
	const mark = `SELECT set_config('cutover.session', '%d', false)`
	const read = `SELECT coalesce(current_setting('cutover.session', true), '')`
	for i, conn := range []*sql.Conn{first, second} {
		var set string
		if err := conn.QueryRowContext(ctx, fmt.Sprintf(mark, i), pgx.QueryExecModeSimpleProtocol).Scan(&set); err != nil {
			return false, err
		}
	}
	for i, conn := range []*sql.Conn{first, second} {
		var got string
		if err := conn.QueryRowContext(ctx, read, pgx.QueryExecModeSimpleProtocol).Scan(&got); err != nil {
			return false, err
		}
		if got != strconv.Itoa(i) {
			return true, nil
		}
	}
	return false, nil
}

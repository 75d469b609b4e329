package main

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Limits of the connections to the database. During a deployment two versions
// run at once, so the database must have room for twice maxConnections of
// every replica.
const (
	maxConnections = 10
	// As long as a query may take: on a busy machine a connection takes a while, and
	// one that is given up and begun anew only makes it busier.
	connectTimeout = 10 * time.Second
	queryTimeout   = 10 * time.Second
)

// errNoNote says that there is no note of the wanted id.
var errNoNote = errors.New("there is no such note")

// note is one row of the table notes.
type note struct {
	ID        int64     `json:"id"`
	Title     string    `json:"title"`
	Body      string    `json:"body"`
	CreatedAt time.Time `json:"created_at"`
}

// store keeps the notes in PostgreSQL.
//
// Its queries name their columns and never say "*", because the next version's
// migration may add columns while this version is still serving.
type store struct {
	pool *pgxpool.Pool
}

// openStore makes the pool. It does not connect: the database may come up after
// us, and until then /readyz says no.
func openStore(databaseURL string) (*store, error) {
	conf, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		// The parser's error quotes the DSN, which must not reach the log.
		return nil, errors.New("DATABASE_URL is not a PostgreSQL connection string like postgres://user:password@host/database")
	}
	conf.MaxConns = maxConnections
	conf.ConnConfig.ConnectTimeout = connectTimeout

	pool, err := pgxpool.NewWithConfig(context.Background(), conf)
	if err != nil {
		return nil, errors.New("the pool of database connections could not be made")
	}
	return &store{pool: pool}, nil
}

func (s *store) close() { s.pool.Close() }

func (s *store) create(ctx context.Context, title, body string) (note, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()

	rows, _ := s.pool.Query(ctx, `
		INSERT INTO notes (title, body) VALUES ($1, $2)
		RETURNING id, title, body, created_at`, title, body)
	return pgx.CollectExactlyOneRow(rows, scanNote)
}

// list answers up to limit notes, newest first.
func (s *store) list(ctx context.Context, limit int) ([]note, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()

	rows, _ := s.pool.Query(ctx, `
		SELECT id, title, body, created_at FROM notes
		ORDER BY created_at DESC, id DESC LIMIT $1`, limit)
	return pgx.CollectRows(rows, scanNote)
}

func (s *store) get(ctx context.Context, id int64) (note, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()

	rows, _ := s.pool.Query(ctx, `
		SELECT id, title, body, created_at FROM notes WHERE id = $1`, id)
	n, err := pgx.CollectExactlyOneRow(rows, scanNote)
	if errors.Is(err, pgx.ErrNoRows) {
		return note{}, errNoNote
	}
	return n, err
}

// schema answers the version of the newest migration that goose has applied, or
// 0 if goose has never run here.
func (s *store) schema(ctx context.Context) (int64, error) {
	var newest int64
	err := s.pool.QueryRow(ctx, `
		SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&newest)

	const undefinedTable = "42P01"
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.Code == undefinedTable {
		return 0, nil
	}
	return newest, err
}

func scanNote(row pgx.CollectableRow) (note, error) {
	var n note
	err := row.Scan(&n.ID, &n.Title, &n.Body, &n.CreatedAt)
	n.CreatedAt = n.CreatedAt.UTC()
	return n, err
}

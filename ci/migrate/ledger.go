package migrate

import (
	"context"
	"database/sql"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

// ledgerTable is what goose's own table does not hold: the text that was applied,
// by which release, and what was begun and never finished.
const ledgerTable = "cutover_migrations"

// Entry is one row of the ledger: a file that was begun.
type Entry struct {
	ID      int64
	Version int64
	File    string
	Hash    string
	Phase   Phase
	Release string
	Begun   time.Time
	// Ended is nil for what was begun and never finished.
	Ended *time.Time
	// Error is why it failed; empty for what was applied.
	Error string
}

// applied reports whether the file ran to its end.
func (e Entry) applied() bool { return e.Ended != nil && e.Error == "" }

// ledger is what both tables say. Without the tables it is empty.
type ledger struct {
	// Rows are the versions that goose calls applied.
	Rows map[int64]bool
	// Entries are cutover's, the oldest first.
	Entries []Entry
	// Snapshot is the schema after the last entry, nil if it was never kept.
	Snapshot *Snapshot
}

// last returns the newest entry of a version, nil if there is none.
func (l ledger) last(version int64) *Entry {
	for i := len(l.Entries) - 1; i >= 0; i-- {
		if l.Entries[i].Version == version {
			return &l.Entries[i]
		}
	}
	return nil
}

// version is the highest that is applied.
func (l ledger) version() int64 {
	var highest int64
	for v := range l.Rows {
		highest = max(highest, v)
	}
	return highest
}

// newest is the number of the newest entry, 0 without any.
func (l ledger) newest() int64 {
	if len(l.Entries) == 0 {
		return 0
	}
	return l.Entries[len(l.Entries)-1].ID
}

// readLedger reads everything and creates nothing.
func readLedger(ctx context.Context, db *sql.DB) (l ledger, err error) {
	if l.Rows, err = gooseRows(ctx, db); err != nil {
		return l, err
	}
	rows, err := db.QueryContext(ctx, `SELECT id, version, file, sha256, phase, release, begun, ended, coalesce(error, '') FROM `+ledgerTable+` ORDER BY id`)
	if code(err) == undefinedTable {
		return l, nil
	}
	if err != nil {
		return l, err
	}
	defer rows.Close()
	for rows.Next() {
		var e Entry
		if err := rows.Scan(&e.ID, &e.Version, &e.File, &e.Hash, &e.Phase, &e.Release, &e.Begun, &e.Ended, &e.Error); err != nil {
			return l, err
		}
		l.Entries = append(l.Entries, e)
	}
	if err := rows.Err(); err != nil {
		return l, err
	}
	l.Snapshot, err = readSnapshot(ctx, db)
	return l, err
}

// gooseRows reads goose's table by goose's own query: its Provider would create
// the table only to look.
func gooseRows(ctx context.Context, db *sql.DB) (map[int64]bool, error) {
	store, err := database.NewStore(goose.DialectPostgres, goose.DefaultTablename)
	if err != nil {
		return nil, err
	}
	list, err := store.ListMigrations(ctx, db)
	if code(err) == undefinedTable {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	rows := map[int64]bool{}
	for _, m := range list { // the newest first: a version that was taken back has a later row that says so
		if _, seen := rows[m.Version]; !seen && m.Version > 0 {
			rows[m.Version] = m.IsApplied
		}
	}
	for v, applied := range rows {
		if !applied {
			delete(rows, v)
		}
	}
	return rows, nil
}

// createLedger makes the ledger's tables where they are missing.
func createLedger(ctx context.Context, db *sql.DB) error {
	_, err := db.ExecContext(ctx, `
		CREATE TABLE IF NOT EXISTS `+ledgerTable+` (
			id      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
			version bigint      NOT NULL,
			file    text        NOT NULL,
			sha256  text        NOT NULL,
			phase   text        NOT NULL,
			release text        NOT NULL,
			begun   timestamptz NOT NULL DEFAULT clock_timestamp(),
			ended   timestamptz,
			error   text
		);
		CREATE TABLE IF NOT EXISTS `+snapshotTable+` (
			entry   bigint      PRIMARY KEY,
			taken   timestamptz NOT NULL DEFAULT clock_timestamp(),
			server  integer     NOT NULL,
			objects text        NOT NULL
		)`)
	return err
}

// begin writes that a file is about to run.
func begin(ctx context.Context, db *sql.DB, f File, release string) (id int64, err error) {
	err = db.QueryRowContext(ctx, `INSERT INTO `+ledgerTable+` (version, file, sha256, phase, release) VALUES ($1, $2, $3, $4, $5) RETURNING id`,
		f.Version, f.Name, f.Hash, f.Phase, release).Scan(&id)
	return id, err
}

// end writes how it went. What was applied changes the schema that is remembered,
// in the same transaction.
func end(ctx context.Context, db *sql.DB, id int64, why error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	var text *string
	if why != nil {
		text = new(why.Error())
	}
	if _, err := tx.ExecContext(ctx, `UPDATE `+ledgerTable+` SET ended = clock_timestamp(), error = $2 WHERE id = $1`, id, text); err != nil {
		return err
	}
	if err := keepSnapshot(ctx, tx); err != nil {
		return err
	}
	return tx.Commit()
}

// adopt enters files that were applied before there was a ledger, as they are now.
func adopt(ctx context.Context, db *sql.DB, files []File) error {
	for _, f := range files {
		if _, err := db.ExecContext(ctx, `INSERT INTO `+ledgerTable+` (version, file, sha256, phase, release, ended) VALUES ($1, $2, $3, $4, '', clock_timestamp())`,
			f.Version, f.Name, f.Hash, f.Phase); err != nil {
			return err
		}
	}
	return nil
}

// remember keeps the schema as it is now.
func remember(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := keepSnapshot(ctx, tx); err != nil {
		return err
	}
	return tx.Commit()
}

// restorePoint says where the write-ahead log stands, and gives that place a name
// where the account may.
func restorePoint(ctx context.Context, db *sql.DB, release string) (string, error) {
	var position, at string
	if err := db.QueryRowContext(ctx, `SELECT pg_current_wal_lsn()::text, to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`).Scan(&position, &at); err != nil {
		return "", err
	}
	text := "LSN " + position + " at " + at
	name := "cutover-contract-" + release
	if _, err := db.ExecContext(ctx, `SELECT pg_create_restore_point($1)`, name); err == nil {
		text = name + ", " + text
	}
	return text, nil
}

package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

// An index that is made concurrently stays behind, invalid, when its making is
// broken off; and it may be finished without goose having come to write so.

// indexNamed says whether the index is there, and whether it can be used.
func indexNamed(ctx context.Context, db querier, name string) (full string, valid bool, err error) {
	err = db.QueryRowContext(ctx, `SELECT i.indexrelid::regclass::text, i.indisvalid FROM pg_index i WHERE i.indexrelid = to_regclass($1)`, name).Scan(&full, &valid)
	if errors.Is(err, sql.ErrNoRows) {
		return "", false, nil
	}
	return full, valid, err
}

// dropInvalid takes away what a broken making of the file's index left.
func (r *run) dropInvalid(ctx context.Context, f File) error {
	if f.Index == "" {
		return nil
	}
	full, valid, err := indexNamed(ctx, r.db, f.Index)
	if err != nil || full == "" || valid {
		return err
	}
	r.tell("the index %s is invalid, from a making that was broken off: it is dropped first", full)
	db := r.target.open(settings{statement: left(ctx)})
	defer db.Close()
	if _, err := db.ExecContext(ctx, "DROP INDEX CONCURRENTLY IF EXISTS "+full); err != nil {
		return fmt.Errorf("drop the invalid index %s: %w", full, err)
	}
	return nil
}

// finished reports whether a run that died had finished the file's index and only
// not come to write so. goose is told then. An index of that name that no run of
// cutover began is somebody else's.
func (r *run) finished(ctx context.Context, f File) (bool, error) {
	if f.Index == "" {
		return false, nil
	}
	full, valid, err := indexNamed(ctx, r.db, f.Index)
	if err != nil || full == "" {
		return false, err
	}
	var begun bool
	if err := r.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM `+ledgerTable+` WHERE version = $1 AND sha256 = $2)`, f.Version, f.Hash).Scan(&begun); err != nil {
		return false, err
	}
	switch {
	case begun && !valid:
		return false, nil // it is dropped and made anew
	case !begun:
		return false, fmt.Errorf("the index %s is there already, though no release of cutover made it; DROP INDEX CONCURRENTLY %[1]s, or rename it", f.Index)
	}
	store, err := database.NewStore(goose.DialectPostgres, goose.DefaultTablename)
	if err != nil {
		return false, err
	}
	if err := store.Insert(ctx, r.db, database.InsertRequest{Version: f.Version}); err != nil {
		return false, err
	}
	r.tell("the index %s was finished by a run that died before it could say so", f.Index)
	return true, nil
}

package migrate

import (
	"context"
	"database/sql"
	"fmt"
)

// pooler looks for one between here and the database that would scatter a session.
func pooler(ctx context.Context, db *sql.DB) ([]Problem, error) {
	split, err := pooled(ctx, db)
	if err != nil {
		return nil, refused(err)
	}
	if !split {
		return nil, nil
	}
	return []Problem{{
		What: "between here and the database stands a pooler in transaction mode: neither a lock nor a setting would hold from one statement to the next",
		Next: "give the migration the database's own address",
	}}, nil
}

// host looks at the server and the account.
func (s *State) host(ctx context.Context, db *sql.DB, files []File) error {
	var replica, create bool
	var schema *string
	if err := db.QueryRowContext(ctx, `SELECT pg_is_in_recovery(), current_schema(), coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)`).
		Scan(&replica, &schema, &create); err != nil {
		return err
	}
	switch {
	case replica:
		s.problem("give the address of the primary", "this server is a replica, which takes no writes")
	case schema == nil:
		s.problem("create the schema, or correct search_path in the connection string", "no schema of the account's search path exists")
	case !create && len(s.Pending) > 0:
		s.problem("GRANT CREATE ON SCHEMA "+*schema+" TO the account of the migrations", "the account may create nothing in the schema %s", *schema)
	}
	touched := s.touched(files)
	if err := s.owners(ctx, db, touched); err != nil {
		return err
	}
	long, err := longTransactions(ctx, db, touched)
	for _, l := range long {
		s.note("a migration would have to wait for %s", l)
	}
	if err != nil {
		return err
	}
	holders, err := lockHolders(ctx, db)
	for _, h := range holders {
		s.note("a migration is at work: %s", h)
	}
	if err != nil {
		return err
	}
	return s.invalid(ctx, db, files)
}

// touched returns the tables of the files that are still to run.
func (s *State) touched(files []File) []string {
	out := []string{}
	for _, f := range files {
		for _, name := range append(s.Pending, s.Deferred...) {
			if f.Name == name {
				out = append(out, f.Tables...)
			}
		}
	}
	return out
}

// owners looks for tables that only somebody else may change.
func (s *State) owners(ctx context.Context, db *sql.DB, tables []string) error {
	rows, err := db.QueryContext(ctx, `SELECT c.oid::regclass::text, pg_get_userbyid(c.relowner), current_user FROM pg_class c
		WHERE c.oid IN (SELECT to_regclass(t) FROM unnest($1::text[]) t) AND NOT pg_has_role(c.relowner, 'USAGE')`, tables)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var table, owner, self string
		if err := rows.Scan(&table, &owner, &self); err != nil {
			return err
		}
		s.problem(fmt.Sprintf("GRANT %s TO %s, or ALTER TABLE %s OWNER TO %[2]s", owner, self, table), "the table %s belongs to %s, and the account %s may not change it", table, owner, self)
	}
	return rows.Err()
}

// invalid looks for indexes that slow every write and serve no read.
func (s *State) invalid(ctx context.Context, db *sql.DB, files []File) error {
	rows, err := db.QueryContext(ctx, `SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
		WHERE NOT i.indisvalid AND c.relnamespace::regnamespace::text = ANY (current_schemas(false)::text[])
		AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid)`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var index string
		if err := rows.Scan(&index); err != nil {
			return err
		}
		ours := false
		for _, f := range files {
			ours = ours || f.Index != "" && bare(f.Index) == bare(index)
		}
		if !ours {
			s.note("the index %s is invalid: it slows every write and serves no read; DROP INDEX CONCURRENTLY %[1]s", index)
		}
	}
	return rows.Err()
}

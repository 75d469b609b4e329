package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// snapshotTable holds the schema as the last run left it. It has one row.
const snapshotTable = "cutover_schema"

// Snapshot is the schema of a database: a line for each object, in order.
type Snapshot struct {
	// Entry is the newest of the ledger's when it was taken: with a newer one it
	// says nothing any more.
	Entry int64
	// Server is PostgreSQL's major version, which words these lines.
	Server  int
	Objects []string
}

// objects is a line for everything in the search path that a migration or a hand
// can make: another schema may be another application's. Left out
// is what comes and goes by itself: the partitions of a partitioned table, what
// belongs to an extension, and the tables of goose and of the ledger.
const objects = `
WITH own AS (
	SELECT oid, nspname FROM pg_namespace
	WHERE nspname = ANY (current_schemas(false))
), extensions AS (
	SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
), relations AS (
	SELECT c.*, n.nspname || '.' || c.relname AS name FROM pg_class c JOIN own n ON n.oid = c.relnamespace
	WHERE NOT c.relispartition AND c.relname NOT IN ('goose_db_version', '` + ledgerTable + `', '` + snapshotTable + `')
	AND NOT EXISTS (SELECT FROM extensions e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid)
)
SELECT 'table ' || name FROM relations WHERE relkind IN ('r', 'p', 'f')
UNION ALL
SELECT 'column ' || r.name || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
	|| CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
	|| CASE WHEN a.attidentity <> '' THEN ' identity' ELSE '' END
	|| coalesce(' ' || CASE WHEN a.attgenerated <> '' THEN 'generated ' ELSE 'default ' END || pg_get_expr(d.adbin, d.adrelid), '')
	FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid LEFT JOIN pg_attrdef d ON d.adrelid = r.oid AND d.adnum = a.attnum
	WHERE r.relkind IN ('r', 'p', 'f') AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'index ' || pg_get_indexdef(i.indexrelid) || CASE WHEN i.indisvalid THEN '' ELSE ' (invalid)' END
	FROM pg_index i JOIN relations t ON t.oid = i.indrelid JOIN pg_class c ON c.oid = i.indexrelid AND NOT c.relispartition
UNION ALL
SELECT 'constraint ' || r.name || '.' || c.conname || ' ' || pg_get_constraintdef(c.oid)
	FROM pg_constraint c JOIN relations r ON r.oid = c.conrelid WHERE c.contype <> 'n'
UNION ALL
SELECT 'trigger ' || pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN relations r ON r.oid = t.tgrelid WHERE NOT t.tgisinternal
UNION ALL
SELECT 'view ' || name || ' ' || regexp_replace(pg_get_viewdef(oid), '\s+', ' ', 'g') FROM relations WHERE relkind IN ('v', 'm')
UNION ALL
SELECT 'function ' || n.nspname || '.' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ') ' || md5(p.prosrc)
	FROM pg_proc p JOIN own n ON n.oid = p.pronamespace
	WHERE NOT EXISTS (SELECT FROM extensions e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid)
UNION ALL
SELECT 'enum ' || n.nspname || '.' || t.typname || ' ' || string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder)
	FROM pg_type t JOIN own n ON n.oid = t.typnamespace JOIN pg_enum e ON e.enumtypid = t.oid
	WHERE NOT EXISTS (SELECT FROM extensions x WHERE x.classid = 'pg_type'::regclass AND x.objid = t.oid)
	GROUP BY n.nspname, t.typname
UNION ALL
SELECT 'sequence ' || name FROM relations WHERE relkind = 'S'
`

// TakeSnapshot reads the schema as it is now.
func TakeSnapshot(ctx context.Context, db querier) (s Snapshot, err error) {
	if err = db.QueryRowContext(ctx, `SELECT current_setting('server_version_num')::int / 10000`).Scan(&s.Server); err != nil {
		return s, err
	}
	rows, err := db.QueryContext(ctx, objects)
	if err != nil {
		return s, fmt.Errorf("read the schema: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return s, err
		}
		s.Objects = append(s.Objects, strings.ReplaceAll(line, "\n", " "))
	}
	slices.Sort(s.Objects)
	return s, rows.Err()
}

// readSnapshot returns the remembered schema, nil if none is.
func readSnapshot(ctx context.Context, db querier) (*Snapshot, error) {
	var s Snapshot
	var text string
	err := db.QueryRowContext(ctx, `SELECT entry, server, objects FROM `+snapshotTable+` ORDER BY entry DESC LIMIT 1`).Scan(&s.Entry, &s.Server, &text)
	switch {
	case errors.Is(err, sql.ErrNoRows) || code(err) == undefinedTable:
		return nil, nil
	case err != nil:
		return nil, err
	}
	if text != "" {
		s.Objects = strings.Split(text, "\n")
	}
	return &s, nil
}

// keepSnapshot remembers the schema as it is now, instead of what was remembered.
func keepSnapshot(ctx context.Context, tx *sql.Tx) error {
	s, err := TakeSnapshot(ctx, tx)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		WITH gone AS (DELETE FROM `+snapshotTable+` WHERE entry <> (SELECT coalesce(max(id), 0) FROM `+ledgerTable+`))
		INSERT INTO `+snapshotTable+` (entry, server, objects) SELECT coalesce(max(id), 0), $1, $2 FROM `+ledgerTable+`
		ON CONFLICT (entry) DO UPDATE SET taken = clock_timestamp(), server = excluded.server, objects = excluded.objects`,
		s.Server, strings.Join(s.Objects, "\n"))
	return err
}

// Differences names what came and what went since the schema was remembered.
func (s Snapshot) Differences(now Snapshot) (out []string) {
	for _, line := range now.Objects {
		if _, found := slices.BinarySearch(s.Objects, line); !found {
			out = append(out, "new: "+line)
		}
	}
	for _, line := range s.Objects {
		if _, found := slices.BinarySearch(now.Objects, line); !found {
			out = append(out, "gone: "+line)
		}
	}
	return out
}

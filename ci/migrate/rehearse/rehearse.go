// Package rehearse plays migrations on a database that is thrown away afterwards: up,
// down and up again, with a look at the schema in between and at the locks that each
// statement takes.
package rehearse

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the "pgx" driver
	"github.com/pressly/goose/v3"

	"cutover.dev/ci/migrate"
	"cutover.dev/ci/migrate/lint"
)

// Report is what came of a rehearsal.
type Report struct {
	Files   []File  `json:"files"`
	Seconds float64 `json:"seconds"`
}

// File is what came of one migration.
type File struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
	// Locks are those on tables that were there before, which make others wait.
	Locks []Lock `json:"locks,omitempty"`
	// Irreversible says that the file declares no way back, and none was tried.
	Irreversible bool `json:"irreversible,omitempty"`
	// Left is what the way back did not take back, Differs what the second way up made
	// otherwise than the first.
	Left    []string `json:"left,omitempty"`
	Differs []string `json:"differs,omitempty"`
	// Error says which act failed, and why; what comes after it was not played.
	Error string `json:"error,omitempty"`
}

// Lock is a lock that a statement took on a table.
type Lock struct {
	Table string `json:"table"`
	Mode  string `json:"mode"`
	// Line is the statement's, in its file.
	Line int `json:"line"`
	// Rewritten says that the table was stored anew.
	Rewritten bool `json:"rewritten,omitempty"`
}

// Problems counts the files that are not as they should be.
func (r Report) Problems() (n int) {
	for _, f := range r.Files {
		if f.Error != "" || len(f.Left) > 0 || len(f.Differs) > 0 {
			n++
		}
	}
	return n
}

// Run plays every file that the database has not, in the order of their versions,
// contract files among them. It ends at the first file of which an act fails; the
// error says that there is nothing to play on.
func Run(ctx context.Context, dsn string, files fs.FS, dir string) (Report, error) {
	parsed, err := migrate.Parse(files, dir)
	if err != nil {
		return Report{}, err
	}
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return Report{}, errors.New("the connection string is not one of PostgreSQL") // err may quote it
	}
	defer db.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return Report{}, err
	}
	applied, err := versions(ctx, provider)
	if err != nil {
		return Report{}, fmt.Errorf("the database cannot be used: %w", err)
	}
	began := time.Now()
	var report Report
	for _, f := range parsed {
		if applied[f.Version] {
			continue
		}
		p := &play{File: f, db: db, provider: provider, files: files}
		p.run(ctx)
		report.Files = append(report.Files, p.result)
		if p.result.Error != "" {
			break
		}
	}
	report.Seconds = time.Since(began).Round(time.Millisecond).Seconds()
	return report, nil
}

func versions(ctx context.Context, provider *goose.Provider) (map[int64]bool, error) {
	all, err := provider.Status(ctx)
	applied := map[int64]bool{}
	for _, s := range all {
		applied[s.Source.Version] = s.State == goose.StateApplied
	}
	return applied, err
}

// play is one file.
type play struct {
	migrate.File
	db       *sql.DB
	provider *goose.Provider
	files    fs.FS
	result   File
}

func (p *play) run(ctx context.Context) {
	began := time.Now()
	p.result = File{Name: p.Name, Irreversible: p.Irreversible}
	act, err := p.acts(ctx)
	if err != nil {
		p.result.Error = fmt.Sprintf("%s failed: %v", act, err)
	}
	p.result.Seconds = time.Since(began).Round(time.Millisecond).Seconds()
}

// acts are the trace, up, down, and up again. It names the one that failed.
func (p *play) acts(ctx context.Context) (act string, err error) {
	if !p.NoTransaction { // what runs without one makes nobody wait, or the lint has said so
		if err := p.trace(ctx); err != nil {
			return "up", err
		}
	}
	before, err := migrate.TakeSnapshot(ctx, p.db)
	if err != nil {
		return "the look before it", err
	}
	first, err := p.move(ctx, true)
	if err != nil {
		return "up", err
	}
	if p.Irreversible {
		return "", nil
	}
	back, err := p.move(ctx, false)
	if err != nil {
		return "down", err
	}
	p.result.Left = before.Differences(back)
	second, err := p.move(ctx, true)
	if err != nil {
		return "up again", err
	}
	p.result.Differs = first.Differences(second)
	return "", nil
}

// move applies the file, or takes it back, by goose.
func (p *play) move(ctx context.Context, up bool) (migrate.Snapshot, error) {
	if _, err := p.provider.ApplyVersion(ctx, p.Version, up); err != nil {
		return migrate.Snapshot{}, err
	}
	return migrate.TakeSnapshot(ctx, p.db)
}

// strong are the modes that make a reader or a writer wait, the strongest last, from
// the table of conflicts in PostgreSQL's manual (13.3.1).
var strong = []string{"ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"}

// trace runs the file statement by statement, looks at what each has locked, and
// takes all of it back.
func (p *play) trace(ctx context.Context) error {
	text, err := fs.ReadFile(p.files, p.Name)
	if err != nil {
		return err
	}
	statements, err := lint.Statements(string(text))
	if err != nil {
		return err
	}
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	there, err := tables(ctx, tx)
	if err != nil {
		return err
	}
	strongest := map[int64]int{}
	for _, s := range statements {
		if _, err := tx.ExecContext(ctx, s.SQL); err != nil {
			return fmt.Errorf("line %d: %w", s.Line, err)
		}
		held, err := locks(ctx, tx)
		if err != nil {
			return err
		}
		now, err := tables(ctx, tx)
		if err != nil {
			return err
		}
		for _, l := range held {
			old, known := there[l.oid]
			rewritten := now[l.oid] != old
			if !known || l.strength <= strongest[l.oid] && !rewritten {
				continue // nobody knows the table yet, or nobody waits for more than before
			}
			strongest[l.oid], there[l.oid] = max(l.strength, strongest[l.oid]), now[l.oid]
			p.result.Locks = append(p.result.Locks, Lock{Table: l.table, Mode: strong[l.strength-1], Line: s.Line, Rewritten: rewritten})
		}
	}
	return nil
}

// tables returns where each table is stored.
func tables(ctx context.Context, tx *sql.Tx) (map[int64]int64, error) {
	rows, err := tx.QueryContext(ctx, `SELECT oid::bigint, pg_relation_filenode(oid)::bigint FROM pg_class WHERE relkind IN ('r', 'm') AND pg_relation_filenode(oid) IS NOT NULL`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[int64]int64{}
	for rows.Next() {
		var oid, node int64
		if err := rows.Scan(&oid, &node); err != nil {
			return nil, err
		}
		out[oid] = node
	}
	return out, rows.Err()
}

// held is the strongest lock on a table, by its place among the strong ones, from 1.
type held struct {
	oid      int64
	table    string
	strength int
}

// locks returns what the transaction holds on tables that are not the server's own.
func locks(ctx context.Context, tx *sql.Tx) (out []held, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT c.oid::bigint, c.oid::regclass::text, max(array_position($1::text[], l.mode)) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
		WHERE l.pid = pg_backend_pid() AND l.granted AND c.relkind IN ('r', 'm') AND l.mode = ANY ($1)
		AND c.relnamespace::regnamespace::text <> 'pg_catalog' GROUP BY c.oid ORDER BY 2`, strong)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var h held
		if err := rows.Scan(&h.oid, &h.table, &h.strength); err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	return out, rows.Err()
}

// String says what came of it, a line for each file and below it what is wrong.
func (r Report) String() string {
	var b strings.Builder
	for _, f := range r.Files {
		way := "up, down and up again"
		if f.Irreversible {
			way = "up; it has no way back, on purpose"
		}
		if f.Error != "" {
			way = f.Error
		}
		fmt.Fprintf(&b, "%s: %s, %.1f s\n", f.Name, way, f.Seconds)
		for _, l := range f.Locks {
			text := fmt.Sprintf("line %d: %s on %s", l.Line, l.Mode, l.Table)
			if l.Rewritten {
				text += ", which is stored anew"
			}
			fmt.Fprintf(&b, "  %s\n", text)
		}
		for _, line := range f.Left {
			fmt.Fprintf(&b, "  after the way back: %s\n", line)
		}
		for _, line := range f.Differs {
			fmt.Fprintf(&b, "  after the second way up: %s\n", line)
		}
	}
	fmt.Fprintf(&b, "%d files were played in %.1f s, %d are not as they should be\n", len(r.Files), r.Seconds, r.Problems())
	return b.String()
}

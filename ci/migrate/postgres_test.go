package migrate

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"cutover.dev/ci/migrate/pgtest"
)

// TestMain runs the tests on a PostgreSQL of their own. Called as a runner, it is
// one: a process that can be killed.
func TestMain(m *testing.M) {
	if dsn := os.Getenv("CUTOVER_TEST_DSN"); dsn != "" {
		result, err := Up(context.Background(), Order{DSN: dsn, Files: os.DirFS(os.Getenv("CUTOVER_TEST_DIR")), Dir: "sql", Release: "r1"}, os.Stdout)
		fmt.Println(result.Line())
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(pgtest.Run(m))
}

// base is a database of one test.
type base struct {
	*sql.DB
	t   *testing.T
	dsn string
}

func newBase(t *testing.T) base {
	t.Helper()
	db, dsn := pgtest.New(t)
	return base{DB: db, t: t, dsn: dsn}
}

func (b base) exec(query string, args ...any) {
	b.t.Helper()
	_, err := b.Exec(query, args...)
	require.NoError(b.t, err, query)
}

// texts returns the first column of every row.
func (b base) texts(query string, args ...any) []string {
	b.t.Helper()
	rows, err := b.Query(query, args...)
	require.NoError(b.t, err, query)
	defer rows.Close()
	out := []string{}
	for rows.Next() {
		var s string
		require.NoError(b.t, rows.Scan(&s))
		out = append(out, s)
	}
	require.NoError(b.t, rows.Err())
	return out
}

// holds waits until a query answers true.
func (b base) holds(query string, args ...any) {
	b.t.Helper()
	require.Eventually(b.t, func() bool {
		var yes bool
		require.NoError(b.t, b.QueryRow(query, args...).Scan(&yes))
		return yes
	}, 30*time.Second, 20*time.Millisecond, query)
}

// order asks for files, for a release.
func (b base) order(release string, files fs.FS) Order {
	return Order{DSN: b.dsn, Files: files, Dir: "sql", Release: release}
}

// up applies files and wants no error.
func (b base) up(release string, files fs.FS) (Result, string) {
	b.t.Helper()
	var out strings.Builder
	result, err := Up(b.t.Context(), b.order(release, files), &out)
	require.NoError(b.t, err, "%v\n%s", result.Problems, out.String())
	return result, out.String()
}

// refuses wants that nothing is applied, and returns why.
func (b base) refuses(o Order) Problem {
	b.t.Helper()
	before := b.texts(everything)
	result, err := Up(b.t.Context(), o, new(strings.Builder))
	require.ErrorIs(b.t, err, ErrRefused)
	require.Equal(b.t, before, b.texts(everything), "nothing was touched")
	state, err := Status(b.t.Context(), o)
	require.NoError(b.t, err)
	require.Equal(b.t, result.Problems, state.Problems, "the status says the same")
	require.Len(b.t, result.Problems, 1)
	require.NotEmpty(b.t, result.Problems[0].Next)
	return result.Problems[0]
}

// everything is all tables and columns, and what was applied.
const everything = `SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1`

// file is a migration with a way back that does nothing.
func file(up string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(up + "\n-- +goose Down\nSELECT 1;\n")}
}

// notes are two files of an application.
func notes() fstest.MapFS {
	return fstest.MapFS{
		"00001_notes.sql": file("-- +goose Up\nCREATE TABLE notes (id bigint PRIMARY KEY, title text NOT NULL);"),
		"00002_body.sql":  file("-- +goose Up\nALTER TABLE notes ADD COLUMN body text;"),
	}
}

// with adds a file.
func with(files fstest.MapFS, name, up string) fstest.MapFS {
	out := fstest.MapFS{name: file(up)}
	for k, v := range files {
		if k != name {
			out[k] = v
		}
	}
	return out
}

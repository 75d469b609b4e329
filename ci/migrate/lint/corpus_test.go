package lint

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"cutover.dev/ci/migrate"
	"cutover.dev/ci/migrate/pgtest"
)

// update writes what the lint says now as what it is to say.
var update = flag.Bool("update", false, "write testdata's golden files anew")

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(pgtest.Run(m))
}

// lint reads one file as a deploy would that brings it.
func lint(t *testing.T, text string) []Finding {
	t.Helper()
	files := fstest.MapFS{"1_x.sql": {Data: []byte(text)}}
	parsed, err := migrate.Parse(files, "sql")
	require.NoError(t, err)
	found, err := Check(files, "sql", parsed, nil)
	require.NoError(t, err)
	return found
}

func TestEveryRuleHasAFileThatBreaksItAndOneThatIsFine(t *testing.T) {
	entries, err := os.ReadDir("testdata")
	require.NoError(t, err)
	var have []string
	for _, e := range entries {
		if e.IsDir() {
			have = append(have, e.Name())
		}
	}
	var want []string
	for name := range Rules {
		want = append(want, name)
	}
	slices.Sort(want)
	require.Equal(t, want, have)
}

func TestEachRuleSaysWhatIsWrongAndWhatToDo(t *testing.T) {
	for name := range Rules {
		t.Run(name, func(t *testing.T) {
			var text strings.Builder
			for _, f := range lint(t, read(t, name, "bad.sql")) {
				text.WriteString(f.String() + "\n")
			}
			golden := filepath.Join("testdata", name, "bad.golden")
			if *update {
				require.NoError(t, os.WriteFile(golden, []byte(text.String()), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), text.String())
			require.Contains(t, text.String(), ", "+name+"): ")
			for _, f := range lint(t, read(t, name, "good.sql")) {
				require.NotEqual(t, name, f.Rule, "%s", f)
			}
		})
	}
}

// Each breaking file does to a real PostgreSQL what its rule says, and each fine one
// runs.
func TestEachRuleIsTrueOfPostgreSQL(t *testing.T) {
	for name := range Rules {
		t.Run(name+"/bad", func(t *testing.T) { t.Parallel(); newTrial(t, name, "bad.sql").run() })
		t.Run(name+"/good", func(t *testing.T) { t.Parallel(); newTrial(t, name, "good.sql").run() })
	}
}

func read(t *testing.T, parts ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{"testdata"}, parts...)...))
	require.NoError(t, err)
	return string(text)
}

// trial is one file that is run. Its comments say what is to come of it:
//
//	-- test:old: QUERY     answers true before, and afterwards fails or does not
//	-- test:after: QUERY   answers true afterwards
//	-- test:lock: T MODE   the transaction holds that lock on T at its end
//	-- test:rewrites: T    T is stored anew
//	-- test:fails: CODE    PostgreSQL refuses it with that code
//	-- test:before: SQL    is run first; with broken: it is to fail
//	-- test:rolled-back:   what it did is there though its transaction was taken back
type trial struct {
	t     *testing.T
	conn  *sql.Conn
	sql   string
	alone bool // without a transaction
	says  []directive
}

type directive struct{ word, text string }

func newTrial(t *testing.T, name, file string) *trial {
	db, _ := pgtest.New(t)
	_, err := db.Exec(read(t, "setup.sql"))
	require.NoError(t, err)
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	text := read(t, name, file)
	r := &trial{t: t, conn: conn, sql: upSection(text), alone: strings.Contains(text, "NO TRANSACTION")}
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "-- test:"); ok {
			word, text, _ := strings.Cut(rest, ":")
			r.says = append(r.says, directive{word, strings.TrimSpace(text)})
		}
	}
	if file == "bad.sql" {
		require.NotEmpty(t, r.says, "nothing says what comes of it")
	}
	return r
}

func (r *trial) exec(query string) error {
	_, err := r.conn.ExecContext(context.Background(), query)
	return err
}

// yes reports whether a query can be asked and answers true. What it writes is taken
// back.
func (r *trial) yes(query string) bool {
	require.NoError(r.t, r.exec("BEGIN"))
	var answer bool
	err := r.conn.QueryRowContext(context.Background(), query).Scan(&answer)
	require.NoError(r.t, r.exec("ROLLBACK"))
	return err == nil && answer
}

func (r *trial) text(query string, args ...any) (answer string) {
	require.NoError(r.t, r.conn.QueryRowContext(context.Background(), query, args...).Scan(&answer))
	return answer
}

const stored = "SELECT pg_relation_filenode($1::regclass)::text"

func (r *trial) run() {
	nodes := map[string]string{}
	for _, d := range r.says {
		switch d.word {
		case "before":
			require.NoError(r.t, r.exec(d.text))
		case "broken":
			require.Error(r.t, r.exec(d.text))
		}
	}
	for _, d := range r.says {
		switch d.word {
		case "old":
			require.True(r.t, r.yes(d.text), "before: %s", d.text)
		case "rewrites":
			nodes[d.text] = r.text(stored, d.text)
		}
	}
	rolledBack := r.play()
	for _, d := range r.says {
		switch d.word {
		case "old":
			require.False(r.t, r.yes(d.text), "after: %s", d.text)
		case "after":
			require.True(r.t, r.yes(d.text), "after: %s", d.text)
		case "rewrites":
			require.NotEqual(r.t, nodes[d.text], r.text(stored, d.text), "%s is stored as before", d.text)
		case "rolled-back":
			require.True(r.t, rolledBack)
		}
	}
}

// play runs the file as goose does, and looks at its locks before it ends.
func (r *trial) play() (rolledBack bool) {
	fails, back := "", false
	for _, d := range r.says {
		if d.word == "fails" {
			fails = d.text
		}
		back = back || d.word == "rolled-back"
	}
	if !r.alone {
		require.NoError(r.t, r.exec("BEGIN"))
	}
	err := r.exec(r.sql)
	if fails != "" {
		pg, ok := errors.AsType[*pgconn.PgError](err)
		require.True(r.t, ok, "%v", err)
		require.Equal(r.t, fails, pg.Code)
		require.NoError(r.t, r.exec("ROLLBACK"))
		return true
	}
	require.NoError(r.t, err)
	for _, d := range r.says {
		if table, mode, _ := strings.Cut(d.text, " "); d.word == "lock" {
			require.Equal(r.t, "true", r.text(`SELECT (count(*) > 0)::text FROM pg_locks WHERE pid = pg_backend_pid() AND relation = $1::regclass AND mode = $2 AND granted`, table, mode), d.text)
		}
	}
	switch {
	case r.alone:
	case back:
		require.NoError(r.t, r.exec("ROLLBACK"))
	default:
		require.NoError(r.t, r.exec("COMMIT"))
	}
	return back
}

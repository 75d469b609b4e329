package migrate

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStatusCreatesNothing(t *testing.T) {
	t.Parallel()
	b := newBase(t)
	state, err := Status(t.Context(), b.order("r1", notes()))
	require.NoError(t, err)
	require.Equal(t, State{Pending: []string{"00001_notes.sql", "00002_body.sql"}, Unwritten: true}, state)
	require.Empty(t, b.texts(everything))

	b.up("r1", notes())
	state, err = Status(t.Context(), b.order("r2", notes()))
	require.NoError(t, err)
	require.Equal(t, State{Version: 2, Applied: []string{"00001_notes.sql", "00002_body.sql"}}, state)
}

func TestAnEditedFileIsRefused(t *testing.T) {
	t.Parallel()
	b := newBase(t)
	b.up("r1", notes())
	edited := with(notes(), "00002_body.sql", "-- +goose Up\nALTER TABLE notes ADD COLUMN body varchar(80);")
	p := b.refuses(b.order("r2", edited))
	require.Contains(t, p.What, "00002_body.sql was edited after r1 had applied it")
	require.Contains(t, p.Next, "git log -- 00002_body.sql")

	commented := with(notes(), "00002_body.sql", "-- What is written.\n\n-- +goose Up\n-- It may be empty.\nALTER TABLE notes ADD COLUMN body text;  ")
	b.up("r2", commented) // a comment is no edit
}

func TestAGapIsRefused(t *testing.T) {
	t.Parallel()
	b := newBase(t)
	files := notes()
	late := files["00001_notes.sql"]
	files["00005_body.sql"] = files["00002_body.sql"]
	delete(files, "00002_body.sql")
	b.up("r1", files)
	p := b.refuses(b.order("r2", with(files, "00003_late.sql", "-- +goose Up\nCREATE TABLE late (id int);")))
	require.Contains(t, p.What, "00003_late.sql was never applied, but the later version 5 was")
	require.Contains(t, p.Next, "git mv 00003_late.sql 6_late.sql")
	require.NotNil(t, late)
}

func TestAnUnknownVersionIsRefused(t *testing.T) {
	t.Parallel()
	b := newBase(t)
	b.up("r1", with(notes(), "00003_author.sql", "-- +goose Up\nALTER TABLE notes ADD COLUMN author text;"))
	older := b.order("r2", notes())
	p := b.refuses(older)
	require.Contains(t, p.What, "the database has 00003_author.sql, applied by r1, which this release does not know")

	older.AllowOlder = true
	result, err := Up(t.Context(), older, new(strings.Builder))
	require.NoError(t, err, "a release that is meant to be older lives with what was added since")
	require.Equal(t, int64(3), result.To)

	b.exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (9, true)")
	p = b.refuses(older)
	require.Contains(t, p.What, "the database has version 9, which this release does not know and no release of cutover applied")
}

func TestAnOlderReleaseIsRefusedAfterAContract(t *testing.T) {
	t.Parallel()
	b := newBase(t)
	files := with(notes(), "00003_no_body.sql", "-- deploy:phase=contract\n-- +goose Up\nALTER TABLE notes DROP COLUMN body;")
	b.up("r1", files)
	_, err := UpContract(t.Context(), b.order("r1", files), []int64{3}, new(strings.Builder))
	require.NoError(t, err)
	older := b.order("r2", notes())
	older.AllowOlder = true
	require.Contains(t, b.refuses(older).What, "it took away what releases without that file use")
}

func TestAHandMadeColumnIsRefusedUntilItIsAccepted(t *testing.T) {
	t.Parallel()
	b := newBase(t)
	b.up("r1", notes())
	b.exec("ALTER TABLE notes ADD COLUMN hand text DEFAULT 'made'")
	o := b.order("r2", notes())
	p := b.refuses(o)
	require.Equal(t, "the schema was changed by hand since the last migration:\n  new: column public.notes.hand text default 'made'::text", p.What)

	o.AcceptDrift = true
	_, err := Up(t.Context(), o, new(strings.Builder))
	require.NoError(t, err)
	b.up("r3", notes()) // it is known now
}

func TestEveryKindOfObjectIsSeenToChange(t *testing.T) {
	t.Parallel()
	b := newBase(t)
	b.exec(`CREATE TABLE base (id int PRIMARY KEY, n int); CREATE TYPE mood AS ENUM ('fine'); CREATE SEQUENCE old`)
	b.up("r1", notes())
	for query, want := range map[string]string{
		"CREATE TABLE t (id int)":                                         "new: table public.t",
		"ALTER TABLE base ALTER n SET NOT NULL":                           "new: column public.base.n integer not null",
		"CREATE INDEX base_n ON base (n)":                                 "new: index CREATE INDEX base_n ON public.base USING btree (n)",
		"ALTER TABLE base ADD CONSTRAINT positive CHECK (n > 0)":          "new: constraint public.base.positive CHECK ((n > 0))",
		"CREATE VIEW v AS SELECT id FROM base":                            "new: view public.v SELECT base.id FROM base;",
		"CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql AS 'SELECT a'": "new: function public.f(a integer)",
		"ALTER TYPE mood ADD VALUE 'grim'":                                "new: enum public.mood fine, grim",
		"DROP SEQUENCE old":                                               "gone: sequence public.old",
		"CREATE TRIGGER tr BEFORE UPDATE ON base FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()": "new: trigger CREATE TRIGGER tr",
		"CREATE TABLE parts (id int) PARTITION BY RANGE (id)":                                                        "new: table public.parts",
	} {
		b.exec(query)
		p := b.refuses(b.order("r2", notes()))
		require.Contains(t, strings.Join(strings.Fields(p.What), " "), want)
		o := b.order("r2", notes())
		o.AcceptDrift = true
		_, err := Up(t.Context(), o, new(strings.Builder))
		require.NoError(t, err)
	}
	b.exec("CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (1) TO (9)")
	b.exec("CREATE SCHEMA other; CREATE TABLE other.t (id int)")
	b.up("r3", notes()) // partitions and other schemas come and go
}

func TestAFileWithoutATransactionWhoseRunDiedAsksAPerson(t *testing.T) {
	t.Parallel()
	b := newBase(t)
	b.exec("CREATE TYPE mood AS ENUM ('fine')")
	b.up("r1", notes())
	files := with(notes(), "00003_grim.sql", "-- +goose NO TRANSACTION\n-- +goose Up\nALTER TYPE mood ADD VALUE 'grim';")
	parsed, err := Parse(files, "sql")
	require.NoError(t, err)
	_, err = begin(t.Context(), b.DB, parsed[2], "r2")
	require.NoError(t, err)
	p := b.refuses(b.order("r3", files))
	require.Contains(t, p.What, "r2 died while 00003_grim.sql ran without a transaction: whether its statement took effect cannot be told")
	yes, no, _ := strings.Cut(p.Next, "\n")

	_, statement, _ := strings.Cut(no, "if not: ")
	b.exec(statement)
	result, _ := b.up("r3", files)
	require.Equal(t, int64(3), result.To)
	require.Contains(t, yes, "INSERT INTO goose_db_version")
}

func TestAnAccountThatMayNotIsRefused(t *testing.T) {
	t.Parallel()
	b := newBase(t)
	b.up("r1", notes())
	for _, query := range []string{"DROP ROLE IF EXISTS guest", "CREATE ROLE guest LOGIN", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO guest"} {
		b.exec(query)
	}
	t.Cleanup(func() { b.exec("DROP OWNED BY guest; DROP ROLE guest") })
	o := b.order("r2", with(notes(), "00003_author.sql", "-- +goose Up\nALTER TABLE notes ADD COLUMN author text;"))
	o.DSN = strings.Replace(o.DSN, "owner@", "guest@", 1)
	state, err := Status(t.Context(), o)
	require.NoError(t, err)
	var what []string
	for _, p := range state.Problems {
		what = append(what, p.What)
	}
	require.Equal(t, []string{"the account may create nothing in the schema public", "the table notes belongs to owner, and the account guest may not change it"}, what)
}

func TestALongTransactionAndAnInvalidIndexAreNoted(t *testing.T) {
	t.Parallel()
	b := newBase(t)
	b.up("r1", notes())
	b.exec("INSERT INTO notes VALUES (1, 'same'), (2, 'same')")
	_, err := b.Exec("CREATE UNIQUE INDEX CONCURRENTLY twice ON notes (title)")
	require.Error(t, err, "it leaves an invalid index")
	state, err := Status(t.Context(), b.order("r2", notes()))
	require.NoError(t, err)
	require.Contains(t, strings.Join(state.Notes, "\n"), "the index twice is invalid")
}

func TestADatabaseWithoutALedgerIsTakenAsItIs(t *testing.T) {
	t.Parallel()
	b := newBase(t)
	b.up("r1", notes())
	b.exec("DROP TABLE cutover_migrations, cutover_schema") // as goose alone had left it
	state, err := Status(t.Context(), b.order("r2", notes()))
	require.NoError(t, err)
	require.True(t, state.Unwritten)
	b.up("r2", notes())
	require.Equal(t, []string{"00001_notes.sql", "00002_body.sql"}, b.texts("SELECT file FROM cutover_migrations ORDER BY id"))
	b.refuses(b.order("r3", with(notes(), "00002_body.sql", "-- +goose Up\nALTER TABLE notes ADD COLUMN body varchar(80);")))
}

func TestAnUnreachableDatabaseIsAnErrorWithoutThePassword(t *testing.T) {
	_, err := Status(t.Context(), Order{DSN: "postgres://owner:correct-horse@127.0.0.1:1/x", Files: notes(), Dir: "sql"})
	require.ErrorContains(t, err, "the database cannot be used")
	require.NotContains(t, err.Error(), "correct-horse")
	_, err = Status(t.Context(), Order{DSN: "postgres://notes:correct-horse@db:port/notes", Files: notes(), Dir: "sql"})
	require.ErrorContains(t, err, "not one of PostgreSQL")
	require.NotContains(t, err.Error(), "correct-horse")
}

func TestAStateIsFoundInALogAsItWasWritten(t *testing.T) {
	want := State{Version: 3, Pending: []string{"4_x.sql"}, Problems: []Problem{{What: "a\nb", Next: "c"}}}
	got, found := ParseState("connecting\n" + want.Line() + "\n")
	require.True(t, found)
	require.Equal(t, want, got)
	_, found = ParseState("state\n")
	require.False(t, found)
}

var _ querier = (*sql.DB)(nil)

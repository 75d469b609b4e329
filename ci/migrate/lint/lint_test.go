package lint

import (
	"fmt"
	"os"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"cutover.dev/ci/migrate"
)

// up is a file whose Up section is the statements.
func up(statements string) string {
	return "-- +goose Up\n" + statements + "\n-- +goose Down\nSELECT 1;\n"
}

func rulesOf(found []Finding) []string {
	out := []string{}
	for _, f := range found {
		out = append(out, f.Rule)
	}
	return out
}

func TestTheExamplesMigrationsAreFine(t *testing.T) {
	files := os.DirFS("../../../example/migrations")
	parsed, err := migrate.Parse(files, "example/migrations")
	require.NoError(t, err)
	found, err := Check(files, "example/migrations", parsed, nil)
	require.NoError(t, err)
	require.Empty(t, found)
}

func TestWhatTheBatchMakesIsNobodysYet(t *testing.T) {
	files := fstest.MapFS{
		"1_a.sql": {Data: []byte(up("CREATE TABLE drafts (id int, title text);"))},
		"2_b.sql": {Data: []byte(up("CREATE INDEX ON drafts (id);\nALTER TABLE drafts DROP COLUMN title;\nUPDATE drafts SET id = 1;"))},
	}
	parsed, err := migrate.Parse(files, "sql")
	require.NoError(t, err)
	found, err := Check(files, "sql", parsed, []string{"1_a.sql", "2_b.sql"})
	require.NoError(t, err)
	require.Empty(t, found)

	// Once 1_a.sql has run, users know the table.
	found, err = Check(files, "sql", parsed, []string{"2_b.sql"})
	require.NoError(t, err)
	require.Equal(t, []string{"index-blocks-writes", "drop-column", "all-rows", "change-and-fill"}, rulesOf(found))
	require.Equal(t, "sql/2_b.sql", found[0].File)

	// Whoever cannot say what has run is told the worse.
	all, err := Check(files, "sql", parsed, nil)
	require.NoError(t, err)
	require.Equal(t, found, all)
}

func TestAContractFileMayTakeAway(t *testing.T) {
	text := up("ALTER TABLE notes DROP COLUMN body;")
	require.Equal(t, []string{"drop-column"}, rulesOf(lint(t, text)))
	require.Empty(t, lint(t, "-- deploy:phase=contract\n"+text))
	require.Equal(t, []string{"index-blocks-writes"}, rulesOf(lint(t, "-- deploy:phase=contract\n"+up("CREATE INDEX ON notes (body);"))), "but hold nobody up")
}

func TestWhatCannotBeReadIsNotLetThrough(t *testing.T) {
	found := lint(t, up("SELECT 1;\nALTER TABEL notes ADD COLUMN a int;"))
	require.Equal(t, []string{"syntax"}, rulesOf(found))
	require.Equal(t, Error, found[0].Severity)
	require.Equal(t, []int{3, 7}, []int{found[0].Line, found[0].Column})
	require.Contains(t, found[0].Why, `syntax error at or near "TABEL"`)
}

func TestAnAllowLetsTheNextStatementBreakOneRule(t *testing.T) {
	const reason = ` reason="nobody reads it"`
	drop := "ALTER TABLE notes DROP COLUMN body;"
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"before it":                    {"-- deploy:allow drop-column" + reason + "\n" + drop, nil},
		"with other comments between":  {"-- deploy:allow drop-column" + reason + "\n-- Farewell.\n\n" + drop, nil},
		"not the one after":            {"-- deploy:allow drop-column" + reason + "\n" + drop + "\nALTER TABLE notes DROP COLUMN author;", []string{"drop-column"}},
		"not another rule":             {"-- deploy:allow rename" + reason + "\n" + drop, []string{"allow", "drop-column"}},
		"not behind a statement":       {"-- deploy:allow drop-column" + reason + "\nSELECT 1;\n" + drop, []string{"allow", "drop-column"}},
		"not without a reason":         {"-- deploy:allow drop-column\n" + drop, []string{"allow", "drop-column"}},
		"not with an empty one":        {"-- deploy:allow drop-column reason=\"\"\n" + drop, []string{"allow", "drop-column"}},
		"not a rule that there is not": {"-- deploy:allow drop-colum" + reason + "\n" + drop, []string{"allow", "drop-column"}},
		"not when nothing breaks it":   {"-- deploy:allow drop-column" + reason + "\nSELECT 1;", []string{"allow"}},
	} {
		t.Run(name, func(t *testing.T) {
			found := lint(t, up(c.text))
			require.ElementsMatch(t, c.want, rulesOf(found))
			for _, f := range found {
				require.Equal(t, Error, f.Severity)
			}
		})
	}
}

// The operations that squawk 2.68 and strong_migrations call unsafe in their
// documentation, in statements of our own. Left out are matters of style.
func TestWhatOtherLintersCallUnsafeIsCaught(t *testing.T) {
	for operation, statement := range map[string]string{
		"add a column with a default that varies":    "ALTER TABLE notes ADD COLUMN at timestamptz DEFAULT clock_timestamp();",
		"add a generated column":                     "ALTER TABLE notes ADD COLUMN size int GENERATED ALWAYS AS (length(body)) STORED;",
		"add a column that counts itself":            "ALTER TABLE notes ADD COLUMN number bigserial;",
		"add an identity":                            "ALTER TABLE notes ADD COLUMN number int GENERATED ALWAYS AS IDENTITY;",
		"add a primary key":                          "ALTER TABLE notes ADD COLUMN key serial PRIMARY KEY;",
		"add a required column":                      "ALTER TABLE notes ADD COLUMN kind text NOT NULL;",
		"add a reference":                            "ALTER TABLE notes ADD COLUMN owner bigint REFERENCES people (id);",
		"add a foreign key":                          "ALTER TABLE notes ADD FOREIGN KEY (author) REFERENCES people (id);",
		"add a check":                                "ALTER TABLE notes ADD CHECK (title <> '');",
		"add a unique constraint":                    "ALTER TABLE notes ADD UNIQUE (body);",
		"add an exclusion":                           "ALTER TABLE notes ADD EXCLUDE USING gist (felt WITH =);",
		"add an index":                               "CREATE INDEX ON notes (body);",
		"add an index concurrently in a transaction": "CREATE INDEX CONCURRENTLY ON notes (body);",
		"add a check to a domain":                    "ALTER DOMAIN short ADD CHECK (length(VALUE) < 9);",
		"add a value to an enum":                     "ALTER TYPE mood ADD VALUE 'glad';",
		"add an attribute to a type":                 "ALTER TYPE pair ADD ATTRIBUTE third int;",
		"add a policy":                               "CREATE POLICY own ON notes USING (true);",
		"change a type":                              "ALTER TABLE notes ALTER author TYPE int;",
		"change null":                                "ALTER TABLE notes ALTER body SET NOT NULL;",
		"drop a required mark":                       "ALTER TABLE notes ALTER title DROP NOT NULL;",
		"change a default":                           "ALTER TABLE notes ALTER state DROP DEFAULT;",
		"change an identity":                         "ALTER TABLE notes ALTER id SET GENERATED BY DEFAULT;",
		"drop an identity":                           "ALTER TABLE notes ALTER id DROP IDENTITY;",
		"drop an expression":                         "ALTER TABLE notes ALTER size DROP EXPRESSION;",
		"drop a column":                              "ALTER TABLE notes DROP body;",
		"drop a table":                               "DROP TABLE notes;",
		"drop a database":                            "DROP DATABASE notes;",
		"drop a schema":                              "DROP SCHEMA archive CASCADE;",
		"drop a sequence":                            "DROP SEQUENCE notes_id_seq;",
		"drop a domain":                              "DROP DOMAIN short;",
		"drop an extension":                          "DROP EXTENSION hstore;",
		"drop a constraint":                          "ALTER TABLE notes DROP CONSTRAINT titles;",
		"drop an index":                              "DROP INDEX notes_body;",
		"drop a policy":                              "DROP POLICY own ON notes;",
		"rename a column":                            "ALTER TABLE notes RENAME body TO text;",
		"rename a table":                             "ALTER TABLE notes RENAME TO papers;",
		"rename a schema":                            "ALTER SCHEMA archive RENAME TO attic;",
		"rename a type":                              "ALTER TYPE mood RENAME TO feeling;",
		"rename a function":                          "ALTER FUNCTION answer() RENAME TO reply;",
		"move to a schema":                           "ALTER TABLE notes SET SCHEMA archive;",
		"replace a view":                             "CREATE OR REPLACE VIEW headlines AS SELECT id FROM notes;",
		"replace a function":                         "CREATE OR REPLACE FUNCTION answer() RETURNS int LANGUAGE sql AS 'SELECT 1';",
		"change a function":                          "ALTER FUNCTION answer() STRICT;",
		"change a view":                              "ALTER VIEW headlines SET (security_barrier = true);",
		"change a policy":                            "ALTER POLICY own ON notes USING (false);",
		"turn row level security on":                 "ALTER TABLE notes ENABLE ROW LEVEL SECURITY;",
		"turn a trigger off":                         "ALTER TABLE notes DISABLE TRIGGER ALL;",
		"change the replica identity":                "ALTER TABLE notes REPLICA IDENTITY FULL;",
		"leave a parent":                             "ALTER TABLE notes NO INHERIT papers;",
		"change a sequence":                          "ALTER SEQUENCE notes_id_seq RESTART;",
		"change a role":                              "ALTER ROLE notes NOLOGIN;",
		"change a database":                          "ALTER DATABASE notes SET work_mem = '1MB';",
		"change the server":                          "ALTER SYSTEM SET work_mem = '1MB';",
		"change an extension":                        "ALTER EXTENSION hstore UPDATE;",
		"take rights away":                           "REVOKE SELECT ON notes FROM PUBLIC;",
		"detach a partition":                         "ALTER TABLE events DETACH PARTITION events_2025;",
		"reindex":                                    "REINDEX INDEX notes_body;",
		"empty a table":                              "TRUNCATE notes CASCADE;",
		"fill a column":                              "UPDATE notes SET body = '';",
		"nest a transaction":                         "BEGIN;",
		"run what cannot be read":                    "DO $$ BEGIN NULL; END $$;",
		"cluster":                                    "CLUSTER notes;",
		"vacuum whole tables":                        "VACUUM (FULL) notes;",
		"store elsewhere":                            "ALTER TABLE notes SET TABLESPACE fast;",
	} {
		require.NotEmpty(t, lint(t, up(statement)), operation)
	}
}

func TestWhatIsSafeIsNoAlarm(t *testing.T) {
	for _, statement := range []string{
		"ALTER TABLE notes ADD COLUMN kind text;",
		"ALTER TABLE notes ADD COLUMN kind text NOT NULL DEFAULT 'note';",
		"ALTER TABLE notes ADD COLUMN seen timestamptz NOT NULL DEFAULT now();",
		"ALTER TABLE notes VALIDATE CONSTRAINT short;",
		"CREATE TABLE drafts (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note bigint REFERENCES notes (id), UNIQUE (note));",
		"CREATE VIEW short AS SELECT id FROM notes;",
		"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';",
		"CREATE TYPE tone AS ENUM ('a');",
		"CREATE EXTENSION IF NOT EXISTS hstore;",
		"COMMENT ON TABLE notes IS 'what people write';",
		"GRANT SELECT ON notes TO PUBLIC;",
		"INSERT INTO people VALUES (2, 'Bob');",
		"UPDATE notes SET body = '' WHERE id = 7;",
		"DELETE FROM notes WHERE id = 7;",
		"SET LOCAL lock_timeout = '1s';",
		"ALTER INDEX notes_body RENAME TO by_body;",
		"SELECT 1;",
	} {
		require.Empty(t, lint(t, up(statement)), statement)
	}
}

func TestTheWayBackIsNotRead(t *testing.T) {
	require.Empty(t, lint(t, "-- +goose Up\nALTER TABLE notes ADD COLUMN a int;\n-- +goose Down\nALTER TABLE notes DROP COLUMN a;\n"))
}

func TestBlocksOfCodeAreOneStatement(t *testing.T) {
	text := up("-- +goose StatementBegin\nCREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN\n  UPDATE notes SET body = '';\n  RETURN NEW;\nEND;\n$$;\n-- +goose StatementEnd")
	require.Empty(t, lint(t, text))
}

func BenchmarkCheck500Files(b *testing.B) {
	files := fstest.MapFS{}
	for i := range 500 {
		files[fmt.Sprintf("%05d_x.sql", i+1)] = &fstest.MapFile{Data: []byte(up(fmt.Sprintf("ALTER TABLE notes ADD COLUMN c%d int;\nCREATE TABLE t%[1]d (id bigint PRIMARY KEY, note bigint REFERENCES notes (id));", i)))}
	}
	for b.Loop() {
		parsed, err := migrate.Parse(files, "sql")
		require.NoError(b, err)
		_, err = Check(files, "sql", parsed, nil)
		require.NoError(b, err)
	}
}

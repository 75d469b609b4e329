package rehearse

import (
	"os"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"cutover.dev/ci/migrate/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

func file(up, down string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte("-- +goose Up\n" + up + "\n-- +goose Down\n" + down + "\n")}
}

// played plays the files after one that makes the table notes.
func played(t *testing.T, files fstest.MapFS) Report {
	t.Helper()
	_, dsn := pgtest.New(t)
	files["1_notes.sql"] = file("CREATE TABLE notes (id bigint PRIMARY KEY, title text);", "DROP TABLE notes;")
	report, err := Run(t.Context(), dsn, files, "sql")
	require.NoError(t, err)
	for i := range report.Files {
		report.Files[i].Seconds = 0
	}
	require.Equal(t, File{Name: "1_notes.sql"}, report.Files[0])
	report.Files = report.Files[1:]
	return report
}

func TestAFileThatGoesUpDownAndUpIsFineAndItsLocksAreTold(t *testing.T) {
	report := played(t, fstest.MapFS{"2_body.sql": file("ALTER TABLE notes ADD COLUMN body text;\nCREATE INDEX ON notes (body);\nCREATE TABLE drafts (id int);",
		"DROP TABLE drafts;\nALTER TABLE notes DROP COLUMN body;")})
	require.Equal(t, []File{{Name: "2_body.sql", Locks: []Lock{
		{Table: "notes", Mode: "AccessExclusiveLock", Line: 2}, // the index adds none that is stronger
	}}}, report.Files)
	require.Zero(t, report.Problems())
	require.Contains(t, report.String(), "2_body.sql: up, down and up again, 0.0 s\n  line 2: AccessExclusiveLock on notes\n")
}

func TestARewriteIsTold(t *testing.T) {
	report := played(t, fstest.MapFS{"2_key.sql": file("ALTER TABLE notes ADD COLUMN key uuid DEFAULT gen_random_uuid();", "ALTER TABLE notes DROP COLUMN key;")})
	require.Equal(t, []Lock{{Table: "notes", Mode: "AccessExclusiveLock", Line: 2, Rewritten: true}}, report.Files[0].Locks)
}

func TestAWayBackThatForgetsATypeIsCaught(t *testing.T) {
	report := played(t, fstest.MapFS{
		"2_mood.sql":  file("CREATE TYPE mood AS ENUM ('fine');\nALTER TABLE notes ADD COLUMN felt mood;", "ALTER TABLE notes DROP COLUMN felt;"),
		"3_never.sql": file("SELECT 1;", "SELECT 1;"),
	})
	require.Len(t, report.Files, 1, "what comes after it is not played")
	require.Equal(t, []string{"new: enum public.mood fine"}, report.Files[0].Left)
	require.Contains(t, report.Files[0].Error, `up again failed: `)
	require.Contains(t, report.Files[0].Error, `type "mood" already exists`)
	require.Equal(t, 1, report.Problems())
}

func TestAWayBackThatBringsSomethingElseBackIsCaught(t *testing.T) {
	report := played(t, fstest.MapFS{"2_title.sql": file("ALTER TABLE notes DROP COLUMN title;", "ALTER TABLE notes ADD COLUMN title varchar(80);")})
	require.Equal(t, []string{"new: column public.notes.title character varying(80)", "gone: column public.notes.title text"}, report.Files[0].Left)
	require.Empty(t, report.Files[0].Differs)
	require.Equal(t, 1, report.Problems())
}

func TestAWayThatFailsIsNamedWithItsLine(t *testing.T) {
	report := played(t, fstest.MapFS{"2_x.sql": file("SELECT 1;\nALTER TABLE nothing ADD COLUMN a int;", "SELECT 1;")})
	require.Contains(t, report.Files[0].Error, `up failed: line 3: ERROR: relation "nothing" does not exist`)
	report = played(t, fstest.MapFS{"2_x.sql": file("SELECT 1;", "DROP TABLE nothing;")})
	require.Contains(t, report.Files[0].Error, "down failed: ")
}

func TestWhatHasNoWayBackOnPurposeOnlyGoesUp(t *testing.T) {
	report := played(t, fstest.MapFS{"2_x.sql": {Data: []byte("-- deploy:irreversible\n-- +goose Up\nALTER TABLE notes ADD COLUMN a int;\n")}})
	require.True(t, report.Files[0].Irreversible)
	require.Zero(t, report.Problems())
	require.Contains(t, report.String(), "it has no way back, on purpose")
}

func TestAConcurrentIndexIsPlayedToo(t *testing.T) {
	report := played(t, fstest.MapFS{"2_i.sql": {Data: []byte("-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX CONCURRENTLY i ON notes (title);\n-- +goose Down\nDROP INDEX CONCURRENTLY i;\n")}})
	require.Equal(t, []File{{Name: "2_i.sql"}}, report.Files)
}

func TestWhatTheDatabaseHasIsNotPlayed(t *testing.T) {
	_, dsn := pgtest.New(t)
	files := fstest.MapFS{"1_notes.sql": file("CREATE TABLE notes (id int);", "DROP TABLE notes;")}
	_, err := Run(t.Context(), dsn, files, "sql")
	require.NoError(t, err)
	report, err := Run(t.Context(), dsn, files, "sql")
	require.NoError(t, err)
	require.Empty(t, report.Files)
}

func TestTheExamplesMigrationsAreFine(t *testing.T) {
	_, dsn := pgtest.New(t)
	report, err := Run(t.Context(), dsn, os.DirFS("../../../example/migrations"), "example/migrations")
	require.NoError(t, err)
	require.Zero(t, report.Problems(), "%s", report)
}

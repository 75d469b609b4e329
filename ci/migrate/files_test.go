package migrate

import (
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAFileSaysWhatItIs(t *testing.T) {
	files, err := Parse(fstest.MapFS{
		"2_title.sql": {Data: []byte("-- deploy:lock-timeout=2s\n-- deploy:irreversible\n-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX CONCURRENTLY IF NOT EXISTS \"Title\" ON app.notes (title);\n")},
		"1_first.sql": {Data: []byte("-- +goose Up\n-- +goose StatementBegin\nDO $$ BEGIN PERFORM 1; END $$;\n-- +goose StatementEnd\nALTER TABLE ONLY notes\n  ADD COLUMN a int; -- why\nUPDATE people SET a = 1;\n-- +goose Down\nSELECT 1;\n")},
		"3_last.sql":  {Data: []byte("-- deploy:phase=contract\r\n-- +goose Up\r\nDROP TABLE IF EXISTS old;\r\n-- +goose Down\r\nCREATE TABLE old (id int);\r\n")},
		"README.md":   {Data: []byte("what this folder is")},
		"sub/x.sql":   {Data: []byte("not ours")},
	}, "sql")
	require.NoError(t, err)
	require.Len(t, files, 3)
	hashes := map[string]bool{}
	for i := range files {
		hashes[files[i].Hash] = true
		files[i].Hash = ""
	}
	require.Len(t, hashes, 3)
	require.Equal(t, []File{
		{Version: 1, Name: "1_first.sql", Phase: Expand, Tables: []string{"notes", "people"}},
		{Version: 2, Name: "2_title.sql", Phase: Expand, LockTimeout: 2 * time.Second, Irreversible: true, NoTransaction: true, Concurrently: true, Index: `"Title"`, Tables: []string{"app.notes"}},
		{Version: 3, Name: "3_last.sql", Phase: Contract, Tables: []string{"old"}},
	}, files)
}

func TestOnlyWhatRunsIsInTheHash(t *testing.T) {
	hash := func(text string) string {
		files, err := Parse(fstest.MapFS{"1_a.sql": {Data: []byte(text)}}, "sql")
		require.NoError(t, err)
		return files[0].Hash
	}
	want := hash("-- +goose Up\nSELECT 1;\n-- +goose Down\nSELECT 2;\n")
	for _, same := range []string{
		"-- Why.\n-- +goose Up\nSELECT 1;\n-- +goose Down\nSELECT 2;\n",
		"-- +goose Up\r\n\r\nSELECT 1;  \r\n-- +goose Down\r\nSELECT 2;\r\n",
		"-- +goose Up\nSELECT 1;\n-- +goose Down\nSELECT 3;\n",
	} {
		require.Equal(t, want, hash(same), same)
	}
	for _, other := range []string{
		"-- +goose Up\nSELECT 2;\n-- +goose Down\nSELECT 2;\n",
		"-- +goose Up\n SELECT 1;\n-- +goose Down\nSELECT 2;\n",
	} {
		require.NotEqual(t, want, hash(other), other)
	}
}

func TestWhatIsWrongInAFileIsNamedWithItsPlace(t *testing.T) {
	const ok = "-- +goose Up\nSELECT 1;\n-- +goose Down\nSELECT 1;\n"
	for _, c := range []struct{ name, text, want string }{
		{"notes.sql", ok, "sql/notes.sql:1:1: goose would skip this file without a word: want VERSION_NAME.sql"},
		{"1_a.go", "package sql", "sql/1_a.go:1:1: a migration in Go cannot be applied: only SQL files are"},
		{"000_a.sql", ok, "sql/000_a.sql:1:1: its version is 0, which goose keeps for itself: want 1 or more"},
		{"202611250930000_a.sql", ok, "sql/202611250930000_a.sql:1:1: its version has 15 digits; at most 14 are wanted, as in a time"},
		{"1_a.sql", "-- deploy:phase=shrink\n" + ok, "sql/1_a.sql:1:17: \"shrink\" is not a phase; there are expand and contract\n    1 | -- deploy:phase=shrink\n      |                 ^"},
		{"1_a.sql", "-- deploy:lock-timeout=0s\n" + ok, "sql/1_a.sql:1:24: \"0s\" is not a time such as 2s"},
		{"1_a.sql", "-- deploy:lock-timeout\n" + ok, "sql/1_a.sql:1:24: \"\" is not a time such as 2s"},
		{"1_a.sql", "--  deploy:phrase=expand\n" + ok, "sql/1_a.sql:1:12: there is no deploy:phrase; there are deploy:phase"},
		{"1_a.sql", "-- +goose Up\n-- deploy:phase=contract\nSELECT 1;\n-- +goose Down\nSELECT 1;", "sql/1_a.sql:2:1: a deploy: comment belongs before"},
		{"1_a.sql", "SELECT 1;", "sql/1_a.sql:1:1: there is no `-- +goose Up`, so goose would apply nothing"},
		{"1_a.sql", "-- +goose Up\n\n-- +goose Down\nSELECT 1;", "sql/1_a.sql:1:1: its Up section holds no statement"},
		{"1_a.sql", "-- +goose Up\nSELECT 1;", "sql/1_a.sql:1:1: it has no way back"},
		{"1_a.sql", "-- +goose Down\nSELECT 1;\n-- +goose Up\nSELECT 1;", "sql/1_a.sql:3:1: this section begins twice"},
		{"1_a.sql", "-- +goose Up\n-- +goose StatementBegin\nSELECT 1;\n-- +goose Down\nSELECT 1;", "sql/1_a.sql:2:1: this statement has no `-- +goose StatementEnd`"},
		{"1_a.sql", "-- +goose NO TRANSACTION\n-- +goose Up\nSELECT 1;\nSELECT\n  2;\n-- +goose Down\nSELECT 1;", "sql/1_a.sql:1:1: its Up section holds 2 statements, but without a transaction"},
	} {
		_, err := Parse(fstest.MapFS{c.name: {Data: []byte(c.text)}}, "sql")
		require.ErrorContains(t, err, c.want)
	}
	_, err := Parse(fstest.MapFS{"1_a.sql": {Data: []byte(ok)}, "01_b.sql": {Data: []byte(ok)}, "c.sql": {Data: []byte(ok)}}, "sql")
	require.ErrorContains(t, err, "its version 1 is also that of")
	require.ErrorContains(t, err, "sql/c.sql:1:1", "everything at once")
}

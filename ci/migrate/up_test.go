package migrate

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestUpAppliesWhatIsPendingAndWritesItDown(t *testing.T) {
	t.Parallel()
	b := newBase(t)
	result, log := b.up("r1", notes())
	require.Equal(t, int64(0), result.From)
	require.Equal(t, int64(2), result.To)
	require.Equal(t, "schema 0 -> 2: 00001_notes.sql, 00002_body.sql", result.String())
	require.Contains(t, log, "00002_body.sql was applied")
	require.Equal(t, []string{"00001_notes.sql r1 expand true", "00002_body.sql r1 expand true"},
		b.texts(`SELECT concat_ws(' ', file, release, phase, (ended >= begun AND error IS NULL)::text) FROM cutover_migrations ORDER BY id`))

	again, _ := b.up("r2", notes())
	require.Equal(t, "schema is at 2; nothing to apply", again.String())
}

func TestUpLeavesContractFilesAlone(t *testing.T) {
	t.Parallel()
	b := newBase(t)
	files := with(notes(), "00003_no_body.sql", "-- deploy:phase=contract\n-- +goose Up\nALTER TABLE notes DROP COLUMN body;")
	files = with(files, "00004_author.sql", "-- +goose Up\nALTER TABLE notes ADD COLUMN author text;")
	result, _ := b.up("r1", files)
	require.Equal(t, int64(4), result.To)
	require.Contains(t, b.texts(everything), "notes.body")

	state, err := Status(t.Context(), b.order("r1", files))
	require.NoError(t, err)
	require.Equal(t, []string{"00003_no_body.sql"}, state.Deferred)
	require.Empty(t, state.Pending)
	require.Empty(t, state.Problems, "a deferred file is no gap")

	var out strings.Builder
	_, err = UpContract(t.Context(), b.order("r1", files), []int64{4}, &out)
	require.ErrorContains(t, err, "version 4 is not a contract file that waits to be applied; these are: 00003_no_body.sql")
	require.Contains(t, b.texts(everything), "notes.body")

	result, err = UpContract(t.Context(), b.order("r1", files), []int64{3}, &out)
	require.NoError(t, err)
	require.Equal(t, []int64{3}, result.Contracted)
	require.Contains(t, result.RestorePoint, "LSN ")
	require.NotContains(t, b.texts(everything), "notes.body")
	require.Equal(t, int64(4), result.To)
	result, err = UpContract(t.Context(), b.order("r1", files), []int64{3}, &out)
	require.NoError(t, err, "whoever carries on with a run that died finds it done")
	require.Empty(t, result.Applied)
	require.Equal(t, []int64{3}, result.Contracted)
	b.up("r2", files) // and a deploy goes on as before
}

func TestFourRunnersApplyEachMigrationOnce(t *testing.T) {
	t.Parallel()
	b := newBase(t)
	files := with(notes(), "00003_index.sql", "-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX CONCURRENTLY notes_title ON notes (title);")
	var all sync.WaitGroup
	results, errs := make([]Result, 4), make([]error, 4)
	for i := range 4 {
		all.Go(func() { results[i], errs[i] = Up(t.Context(), b.order("r1", files), new(strings.Builder)) })
	}
	all.Wait()
	applied := 0
	for i := range 4 {
		require.NoError(t, errs[i])
		require.Equal(t, int64(3), results[i].To)
		applied += len(results[i].Applied)
	}
	require.Equal(t, 3, applied)
	require.Equal(t, []string{"1", "2", "3"}, b.texts(`SELECT version_id FROM goose_db_version WHERE version_id > 0 ORDER BY id`))
}

func TestABlockedAlterIsTriedAgainAndNamesWhoBlocks(t *testing.T) {
	t.Parallel()
	b := newBase(t)
	b.up("r1", notes())
	blocker, err := b.Conn(t.Context())
	require.NoError(t, err)
	defer blocker.Close()
	for _, query := range []string{"SET application_name = 'report'", "BEGIN", "SELECT count(*) FROM notes"} {
		_, err := blocker.ExecContext(t.Context(), query)
		require.NoError(t, err)
	}
	var pid string
	require.NoError(t, blocker.QueryRowContext(t.Context(), "SELECT pg_backend_pid()::text").Scan(&pid))

	// A user's request, all the while.
	ctx, cancel := context.WithCancel(t.Context())
	slowest := make(chan time.Duration, 1)
	go func() {
		var most time.Duration
		for ctx.Err() == nil {
			began := time.Now()
			_, _ = b.ExecContext(ctx, "SELECT title FROM notes")
			most = max(most, time.Since(began))
		}
		slowest <- most
	}()
	// The blocker leaves when its victim has been told of.
	out := &signal{when: "00003_author.sql has not got its lock", do: func() { _, _ = blocker.ExecContext(t.Context(), "ROLLBACK") }}
	result, err := Up(t.Context(), b.order("r2", with(notes(), "00003_author.sql", "-- +goose Up\nALTER TABLE notes ADD COLUMN author text;")), out)
	cancel()
	require.NoError(t, err)
	require.Equal(t, int64(3), result.To)
	require.GreaterOrEqual(t, result.Applied[0].Tries, 2)
	require.Contains(t, out.text.String(), "held by pid "+pid+" (report), user owner, idle in transaction")
	require.Contains(t, out.text.String(), "SELECT pg_backend_pid()", "its query")
	require.Less(t, <-slowest, time.Second)
}

// signal does something when a text is written to it.
type signal struct {
	text strings.Builder
	when string
	do   func()
	once sync.Once
}

func (s *signal) Write(p []byte) (int, error) {
	s.text.Write(p)
	if strings.Contains(s.text.String(), s.when) {
		s.once.Do(s.do)
	}
	return len(p), nil
}

func TestWhatFailedForAnotherReasonIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	b := newBase(t)
	files := with(notes(), "00003_broken.sql", "-- +goose Up\nALTER TABLE notes ADD COLUMN extra text;\nALTER TABLE nothing ADD COLUMN extra text;")
	result, err := Up(t.Context(), b.order("r1", files), new(strings.Builder))
	require.ErrorContains(t, err, `relation "nothing" does not exist`)
	require.Equal(t, "00003_broken.sql", result.Failed)
	require.Equal(t, int64(2), result.To)
	require.NotContains(t, b.texts(everything), "notes.extra")
	require.Equal(t, []string{"1"}, b.texts(`SELECT count(*)::text FROM cutover_migrations WHERE version = 3 AND error LIKE '%does not exist%'`))

	b.up("r2", with(notes(), "00003_broken.sql", "-- +goose Up\nALTER TABLE notes ADD COLUMN extra text;")) // corrected: it never ran
}

func TestADeadlineEndsTheWaitForALock(t *testing.T) {
	t.Parallel()
	b := newBase(t)
	b.up("r1", notes())
	blocker, err := b.Begin()
	require.NoError(t, err)
	defer blocker.Rollback()
	_, err = blocker.Exec("SELECT count(*) FROM notes")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err = Up(ctx, b.order("r2", with(notes(), "00003_author.sql", "-- +goose Up\nALTER TABLE notes ADD COLUMN author text;")), new(strings.Builder))
	require.ErrorContains(t, err, "not done in the time for the whole migration")
	require.ErrorContains(t, err, "held by pid")
}

// kill starts a runner of its own process, kills it when a query holds, and waits
// until nothing of it is left in the database.
func (b base) kill(files fstest.MapFS, when string) {
	b.t.Helper()
	dir := b.t.TempDir()
	for name, f := range files {
		require.NoError(b.t, os.WriteFile(filepath.Join(dir, name), f.Data, 0o600))
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "CUTOVER_TEST_DSN="+b.dsn, "CUTOVER_TEST_DIR="+dir)
	cmd.Stderr = os.Stderr
	require.NoError(b.t, cmd.Start())
	b.holds(when)
	require.NoError(b.t, cmd.Process.Kill())
	require.Error(b.t, cmd.Wait())
}

func TestARunnerKilledInTheMiddleOfAStatementIsRecovered(t *testing.T) {
	t.Parallel()
	b := newBase(t)
	b.up("r1", notes())
	b.exec("CREATE TABLE gate (id int)")
	b.exec("DELETE FROM cutover_schema") // the gate is the test's
	gate, err := b.Begin()
	require.NoError(t, err)
	_, err = gate.Exec("LOCK TABLE gate")
	require.NoError(t, err)
	files := with(notes(), "00003_author.sql", "-- deploy:lock-timeout=1m\n-- +goose Up\nALTER TABLE notes ADD COLUMN author text;\nLOCK TABLE gate;")
	b.kill(files, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%LOCK TABLE gate%' AND wait_event_type = 'Lock')`)

	// The dead runner's session is still there, and holds the lock of a run.
	result, log := b.upAfterDeath("r2", files, func() { _ = gate.Rollback() })
	require.Equal(t, int64(3), result.To)
	require.Contains(t, log, "r1 died while 00003_author.sql ran")
	require.Equal(t, []string{"1"}, b.texts(`SELECT count(*)::text FROM goose_db_version WHERE version_id = 3`))
	require.Equal(t, []string{"r1 its run died; the file was applied again", "r2 "},
		b.texts(`SELECT release || ' ' || coalesce(error, '') FROM cutover_migrations WHERE version = 3 ORDER BY id`))
}

// upAfterDeath applies files, and opens the way once what was left of a dead
// runner is gone.
func (b base) upAfterDeath(release string, files fstest.MapFS, open func()) (Result, string) {
	b.t.Helper()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		b.holds(`SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'cutover-migrate/r1/%')`)
		open()
	}()
	result, log := b.up(release, files)
	<-gone
	return result, log
}

func TestARunnerKilledInTheMiddleOfAConcurrentIndexIsRecovered(t *testing.T) {
	t.Parallel()
	b := newBase(t)
	b.up("r1", notes())
	old, err := b.Begin() // a concurrent index waits for every transaction that began before it
	require.NoError(t, err)
	_, err = old.Exec("SELECT count(*) FROM notes; INSERT INTO notes VALUES (1, 'one')")
	require.NoError(t, err)
	files := with(notes(), "00003_title.sql", "-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX CONCURRENTLY notes_title ON notes (title);")
	b.kill(files, `SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('notes_title') AND NOT indisvalid)
		AND EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY%' AND wait_event_type = 'Lock')`)

	result, log := b.upAfterDeath("r2", files, func() { _ = old.Commit() })
	require.Equal(t, int64(3), result.To)
	require.Contains(t, log, "the index notes_title is invalid, from a making that was broken off: it is dropped first")
	require.Equal(t, []string{"true"}, b.texts(`SELECT indisvalid::text FROM pg_index WHERE indexrelid = to_regclass('notes_title')`))
	require.Equal(t, []string{"1"}, b.texts(`SELECT count(*)::text FROM goose_db_version WHERE version_id = 3`))
}

func TestAnIndexThatWasFinishedBeforeItsRunDiedIsNotMadeTwice(t *testing.T) {
	t.Parallel()
	b := newBase(t)
	files := with(notes(), "00003_title.sql", "-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX CONCURRENTLY notes_title ON notes (title);")
	b.up("r1", files)
	// As after a death between the index and goose's row.
	b.exec("DELETE FROM goose_db_version WHERE version_id = 3")
	b.exec("UPDATE cutover_migrations SET ended = NULL WHERE version = 3")
	result, log := b.up("r2", files)
	require.Equal(t, int64(3), result.To)
	require.Contains(t, log, "the index notes_title was finished by a run that died before it could say so")
	require.Equal(t, []string{"1"}, b.texts(`SELECT count(*)::text FROM goose_db_version WHERE version_id = 3`))
}

func TestAnIndexThatNobodyBeganIsNotTakenForOurs(t *testing.T) {
	t.Parallel()
	b := newBase(t)
	b.up("r1", notes())
	b.exec("CREATE INDEX notes_title ON notes (id)")
	b.exec("DELETE FROM cutover_schema") // else the hand's index alone stops it
	files := with(notes(), "00003_title.sql", "-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX CONCURRENTLY notes_title ON notes (title);")
	_, err := Up(t.Context(), b.order("r2", files), new(strings.Builder))
	require.ErrorContains(t, err, "the index notes_title is there already, though no release of cutover made it")

	// Nor is one that somebody is only about to make, or failed to.
	b.exec("DROP INDEX notes_title")
	b.exec("INSERT INTO notes VALUES (1, 'same'), (2, 'same')")
	_, err = b.Exec("CREATE UNIQUE INDEX CONCURRENTLY notes_title ON notes (title)")
	require.Error(t, err)
	b.exec("DELETE FROM cutover_schema")
	_, err = Up(t.Context(), b.order("r2", files), new(strings.Builder))
	require.ErrorContains(t, err, "the index notes_title is there already")
}

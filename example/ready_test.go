package main

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ready asks /readyz.
func ready(t *testing.T, base string) (code int, reason string) {
	t.Helper()
	answer := get(t, base+"/readyz")
	var said struct {
		Ready  bool
		Reason string
	}
	answer.json(t, &said)
	assert.Equal(t, answer.StatusCode == http.StatusOK, said.Ready)
	return answer.StatusCode, said.Reason
}

func TestReadyzSaysNoUntilTheSchemaIsNewEnough(t *testing.T) {
	t.Parallel()
	url := emptyDatabase(t)
	base := startNotes(t, url)

	code, reason := ready(t, base)
	assert.Equal(t, http.StatusServiceUnavailable, code, "goose has never run")
	assert.Equal(t, "the database has schema version 0, this program needs at least 1", reason)

	migrate(t, url, neededSchema)
	code, reason = ready(t, base)
	assert.Equal(t, http.StatusOK, code, reason)

	_, err := migrations(t, url).DownTo(t.Context(), 0)
	require.NoError(t, err)
	code, _ = ready(t, base)
	assert.Equal(t, http.StatusServiceUnavailable, code, "the migrations are undone")
}

func TestReadyzStaysYesWhenTheNextVersionHasMigrated(t *testing.T) {
	t.Parallel()
	url := migratedDatabase(t)
	execute(t, url, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, true)`)
	answer := get(t, startNotes(t, url)+"/readyz")
	assert.Equal(t, http.StatusOK, answer.StatusCode)
	assert.JSONEq(t, `{"ready": true, "schema": 99}`, answer.body)
}

func TestWithoutADatabaseTheProcessIsAliveButNotReady(t *testing.T) {
	t.Parallel()
	port, err := freePort()
	require.NoError(t, err)
	base := startNotes(t, fmt.Sprintf("postgres://notes:secret@127.0.0.1:%d/notes", port))

	code, reason := ready(t, base)
	assert.Equal(t, http.StatusServiceUnavailable, code)
	assert.Equal(t, "the database does not answer", reason)
	assert.Equal(t, http.StatusOK, get(t, base+"/livez").StatusCode)
}

func TestReadyzComesBackAfterTheDatabaseDoes(t *testing.T) {
	t.Parallel()
	url := migratedDatabase(t)
	base := startNotes(t, url)
	code, _ := ready(t, base)
	require.Equal(t, http.StatusOK, code)

	// Every connection of the pool breaks, as when the database restarts; the other
	// tests' stay.
	execute(t, url, `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	assert.Eventually(t, func() bool {
		code, _ := ready(t, base)
		return code == http.StatusOK
	}, 10*readyTimeout, readyTimeout/10)
}

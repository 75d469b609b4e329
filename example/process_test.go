package main

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// process is this program as a process of its own: the test's own executable,
// which TestMain makes run main.
type process struct {
	*exec.Cmd
	base string
	log  *bytes.Buffer // to be read after Wait
}

func startProcess(t *testing.T, databaseURL string, environment ...string) process {
	t.Helper()
	port, err := freePort()
	require.NoError(t, err)
	p := process{
		Cmd:  exec.CommandContext(t.Context(), os.Args[0]),
		base: "http://127.0.0.1:" + strconv.Itoa(port),
		log:  new(bytes.Buffer),
	}
	p.Env = append(os.Environ(), "NOTES_TEST_PROCESS=1", "PORT="+strconv.Itoa(port), "DATABASE_URL="+databaseURL, "SHUTDOWN_DRAIN=200ms")
	p.Env = append(p.Env, environment...)
	p.Stdout, p.Stderr = p.log, p.log
	require.NoError(t, p.Start())
	require.Eventually(t, func() bool {
		response, err := http.Get(p.base + "/livez")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	}, 20*time.Second, 20*time.Millisecond)
	return p
}

func TestTheProcessEndsWellOnSIGTERM(t *testing.T) {
	t.Parallel()
	p := startProcess(t, migratedDatabase(t), "CUTOVER_RELEASE=green-8")
	assert.JSONEq(t, `{"version": "dev", "release": "green-8"}`, get(t, p.base+"/version").body)
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	assert.NoError(t, p.Wait(), p.log)
	assert.Contains(t, p.log.String(), "every request was answered")
}

func TestThePasswordIsNeverLogged(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{
		"a database that answers":   migratedDatabase(t),
		"a database of no server":   "postgres://notes:secret@127.0.0.1:1/notes",
		"a database that is absent": dsn("absent"),
	} {
		t.Run(name, func(t *testing.T) {
			p := startProcess(t, url)
			for _, path := range []string{"/readyz", "/notes", "/"} {
				assert.NotContains(t, get(t, p.base+path).body, "secret")
			}
			require.NoError(t, p.Process.Signal(syscall.SIGTERM))
			require.NoError(t, p.Wait(), p.log)
			assert.Contains(t, p.log.String(), "ready")
			assert.NotContains(t, p.log.String(), "secret")
		})
	}
}

func TestAWrongEnvironmentIsRefusedWithAReasonButWithoutTheDSN(t *testing.T) {
	t.Parallel()
	const url = "postgres://notes:secret@localhost/notes"
	for name, wrong := range map[string]struct {
		environment map[string]string
		reason      string
	}{
		"no database":    {map[string]string{}, "DATABASE_URL is not set"},
		"not a database": {map[string]string{"DATABASE_URL": "postgres://notes:secret@:port:/"}, "DATABASE_URL is not a PostgreSQL connection string"},
		"not a drain":    {map[string]string{"DATABASE_URL": url, "SHUTDOWN_DRAIN": "2"}, `SHUTDOWN_DRAIN is "2"`},
		"a past drain":   {map[string]string{"DATABASE_URL": url, "SHUTDOWN_DRAIN": "-2s"}, `SHUTDOWN_DRAIN is "-2s"`},
		"not a port":     {map[string]string{"DATABASE_URL": url, "PORT": "none"}, "none"},
	} {
		t.Run(name, func(t *testing.T) {
			err := run(context.Background(), func(key string) string { return wrong.environment[key] })
			require.ErrorContains(t, err, wrong.reason)
			assert.NotContains(t, err.Error(), "secret")
		})
	}
}

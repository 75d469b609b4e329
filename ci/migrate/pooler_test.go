package migrate

import (
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cutover.dev/ci/migrate/pgtest"
)

// startPooler starts a PgBouncer in transaction mode before the server and returns its
// port. It ends with the test.
func startPooler(t *testing.T, settings string) int {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer" // off the PATH of most users
	}
	dir, err := os.MkdirTemp("", "cutover-pgbouncer-") // t.TempDir is for its owner alone
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	config := fmt.Sprintf("[databases]\n* = host=127.0.0.1 port=%d\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n%s\n",
		pgtest.Port, port, settings)
	path := filepath.Join(dir, "pgbouncer.ini")
	require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(config, "* = host", "* = user=owner host")), 0o644))
	require.NoError(t, os.Chmod(dir, 0o755))
	cmd := exec.Command(program, path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 {
		const nobody = 65534
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	log := new(strings.Builder)
	cmd.Stderr = log
	require.NoError(t, cmd.Start(), "the tests need Debian's package pgbouncer")
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, 10*time.Second, 20*time.Millisecond, "PgBouncer does not listen")
	return port
}

func TestAPoolerInTransactionModeIsRefused(t *testing.T) {
	t.Parallel()
	b := newBase(t)
	b.up("r1", notes())
	for _, c := range []struct{ settings, want string }{
		{"ignore_startup_parameters = lock_timeout,statement_timeout,idle_in_transaction_session_timeout,tcp_keepalives_idle,tcp_keepalives_interval,tcp_keepalives_count,default_transaction_read_only",
			"between here and the database stands a pooler in transaction mode"},
		{"", "between here and the database stands a pooler, such as PgBouncer"},
	} {
		port := startPooler(t, c.settings)
		o := b.order("r2", with(notes(), "00003_author.sql", "-- +goose Up\nALTER TABLE notes ADD COLUMN author text;"))
		o.DSN = strings.Replace(b.dsn, fmt.Sprintf(":%d/", pgtest.Port), fmt.Sprintf(":%d/", port), 1)
		plain, err := sql.Open("pgx", o.DSN)
		require.NoError(t, err)
		require.NoError(t, plain.Ping(), "the pooler itself works")
		plain.Close()

		state, err := Status(t.Context(), o)
		var text string
		if err != nil {
			text = err.Error()
		}
		for _, p := range state.Problems {
			text += p.What
		}
		require.Contains(t, text, c.want)
		_, err = Up(t.Context(), o, new(strings.Builder))
		require.Error(t, err)
		require.NotContains(t, b.texts(everything), "notes.author")
	}
}

package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"
)

// postgresPort is where the tests' own PostgreSQL listens, on 127.0.0.1.
var postgresPort int

// TestMain starts a PostgreSQL for the tests, and throws it away after them.
func TestMain(m *testing.M) {
	if os.Getenv("NOTES_TEST_PROCESS") != "" { // See process_test.go.
		fault = os.Getenv("NOTES_TEST_FAULT")
		main()
		return
	}
	stop, err := startPostgres()
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL: the tests need a PostgreSQL of their own:", err)
		os.Exit(1)
	}
	code := m.Run()
	stop()
	os.Exit(code)
}

// startPostgres makes a PostgreSQL in a temporary folder and waits until it
// answers.
func startPostgres() (stop func(), err error) {
	programs, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "notes-postgres-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	who, err := ownerOf(dir)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")

	initdb := exec.Command(filepath.Join(programs, "initdb"),
		"--pgdata", data, "--username", "notes", "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = dir, who
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if postgresPort, err = freePort(); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	server := exec.Command(filepath.Join(programs, "postgres"),
		"-D", data, "-k", dir, "-h", "127.0.0.1", "-p", strconv.Itoa(postgresPort), "-F")
	server.Dir, server.SysProcAttr = dir, who
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		_ = server.Process.Signal(syscall.SIGQUIT) // Nothing in it is worth a checkpoint.
		_ = server.Wait()
		os.RemoveAll(dir)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		conn, err := pgx.Connect(context.Background(), dsn("postgres"))
		if err == nil {
			return stop, conn.Close(context.Background())
		}
		if time.Now().After(deadline) {
			out, _ := os.ReadFile(log.Name())
			stop()
			return nil, fmt.Errorf("it did not start: %w\n%s", err, out)
		}
	}
}

// postgresPrograms answers the folder of the programs "initdb" and "postgres".
// Debian keeps them off the PATH.
func postgresPrograms() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if inPath, err := exec.LookPath("initdb"); err == nil {
		found = append(found, inPath)
	}
	if len(found) == 0 {
		return "", errors.New("PostgreSQL is not installed: install the package postgresql")
	}
	return filepath.Dir(found[len(found)-1]), nil
}

// ownerOf gives the folder to whoever will run PostgreSQL, which refuses to be
// run by root.
func ownerOf(dir string) (*syscall.SysProcAttr, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	postgres, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("root can't run PostgreSQL: %w (install the package postgresql)", err)
	}
	uid, errUID := strconv.Atoi(postgres.Uid)
	gid, errGID := strconv.Atoi(postgres.Gid)
	if err := cmp.Or(errUID, errGID, os.Chown(dir, uid, gid)); err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return listener.Addr().(*net.TCPAddr).Port, listener.Close()
}

func dsn(database string) string {
	return fmt.Sprintf("postgres://notes:secret@127.0.0.1:%d/%s?sslmode=disable", postgresPort, database)
}

var databases atomic.Int64

// emptyDatabase makes a database of the test's own and answers its DSN.
func emptyDatabase(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("test%d", databases.Add(1))
	execute(t, dsn("postgres"), "CREATE DATABASE "+name)
	return dsn(name)
}

// migratedDatabase is an empty database with the schema of all migrations.
func migratedDatabase(t *testing.T) string {
	t.Helper()
	url := emptyDatabase(t)
	migrate(t, url, newestMigration(t))
	return url
}

func execute(t *testing.T, url, statement string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(t.Context(), statement)
	require.NoError(t, err)
}

// migrations answers goose over the example's own migrations.
func migrations(t *testing.T, url string) *goose.Provider {
	t.Helper()
	db, err := sql.Open("pgx", url)
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	provider, err := goose.NewProvider(goose.DialectPostgres, db, os.DirFS("migrations"))
	require.NoError(t, err)
	return provider
}

// migrate applies the migrations up to the version.
func migrate(t *testing.T, url string, version int64) {
	t.Helper()
	_, err := migrations(t, url).UpTo(t.Context(), version)
	require.NoError(t, err)
}

func newestMigration(t *testing.T) int64 {
	t.Helper()
	sources := migrations(t, dsn("postgres")).ListSources()
	return slices.MaxFunc(sources, func(a, b *goose.Source) int { return cmp.Compare(a.Version, b.Version) }).Version
}

func TestTheMigrationsCanBeUndone(t *testing.T) {
	t.Parallel()
	url := migratedDatabase(t)
	_, err := migrations(t, url).DownTo(t.Context(), 0)
	require.NoError(t, err)
	migrate(t, url, newestMigration(t))
}

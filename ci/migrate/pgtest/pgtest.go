// Package pgtest gives tests a PostgreSQL of their own, from Debian's package
// postgresql.
package pgtest

import (
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the "pgx" driver
)

// Owner is the server's superuser. It needs no password.
const Owner = "owner"

// Port is where the server listens, on 127.0.0.1.
var Port int

var databases atomic.Int64

// Run starts a server, runs the tests, and throws the server away. It returns the
// exit code, for a TestMain.
func Run(m *testing.M) int {
	stop, err := start()
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL: the tests need a PostgreSQL of their own (Debian's package postgresql):", err)
		return 1
	}
	defer stop()
	return m.Run()
}

// DSN leads to a database of the server.
func DSN(database, user string) string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s", user, Port, database)
}

// New makes a database for a test and returns it with the owner's connection string.
func New(t *testing.T) (*sql.DB, string) {
	t.Helper()
	admin, err := sql.Open("pgx", DSN("postgres", Owner))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	name := fmt.Sprintf("d%d", databases.Add(1))
	if _, err := admin.Exec("CREATE DATABASE " + name); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("pgx", DSN(name, Owner))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db, DSN(name, Owner)
}

func start() (stop func(), err error) {
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // Debian keeps them off the PATH
	bins = append(bins, filepath.SplitList(os.Getenv("PATH"))...)
	i := slices.IndexFunc(bins, func(dir string) bool { _, err := os.Stat(filepath.Join(dir, "pg_ctl")); return err == nil })
	if i < 0 {
		return nil, fmt.Errorf("there is no pg_ctl")
	}
	dir, err := os.MkdirTemp("", "cutover-postgres-")
	if err != nil {
		return nil, err
	}
	owner := &syscall.SysProcAttr{}
	if os.Getuid() == 0 { // PostgreSQL does not run as root
		const nobody = 65534
		owner.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
		if err := os.Chown(dir, nobody, nobody); err != nil {
			return nil, err
		}
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	Port = free.Addr().(*net.TCPAddr).Port
	free.Close()
	command := func(args ...string) error {
		cmd := exec.Command(filepath.Join(bins[i], "pg_ctl"), append(args, "-D", dir+"/data")...)
		cmd.Dir, cmd.SysProcAttr = dir, owner
		if out, err := cmd.Output(); err != nil {
			log, _ := os.ReadFile(dir + "/log")
			return fmt.Errorf("pg_ctl %s: %w\n%s%s", args[0], err, out, log)
		}
		return nil
	}
	if err := command("initdb", "-o", "--username="+Owner+" --auth=trust --encoding=UTF8 --locale=C --no-sync"); err != nil {
		return nil, err
	}
	options := fmt.Sprintf("-h 127.0.0.1 -p %d -k %s -F", Port, dir)
	if err := command("start", "-w", "-l", dir+"/log", "-o", options); err != nil {
		return nil, err
	}
	return func() {
		_ = command("stop", "-m", "immediate")
		os.RemoveAll(dir)
	}, nil
}

package stage

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	_ "github.com/jackc/pgx/v5/stdlib" // the "pgx" driver
)

// Database opens the stage's database as another of its applications would, by the
// name of application. What it returns closes it.
func (s *Stage) Database(ctx context.Context, application string) (*sql.DB, func(), error) {
	cmd := exec.CommandContext(ctx, "kubectl", "--kubeconfig="+s.Kubeconfig, "--namespace="+s.Namespace, "port-forward", "service/postgres", ":5432")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	stop := func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	line, err := bufio.NewReader(out).ReadString('\n')
	var port int
	if _, scanErr := fmt.Sscanf(strings.TrimSpace(line), "Forwarding from 127.0.0.1:%d ->", &port); err != nil || scanErr != nil {
		stop()
		return nil, nil, fmt.Errorf("kubectl port-forward said %q", line)
	}
	db, err := sql.Open("pgx", fmt.Sprintf("postgres://notes:%s@127.0.0.1:%d/notes?sslmode=disable&application_name=%s", s.Password, port, application))
	if err != nil {
		stop()
		return nil, nil, err
	}
	return db, func() { _ = db.Close(); stop() }, nil
}

// migrations is the folder with the migrations, in a repository.
const migrations = "example/migrations"

// Migration writes a migration into the stage's repository.
func (s *Stage) Migration(name, up string) error {
	return os.WriteFile(filepath.Join(s.Source, migrations, name), []byte(up+"\n\n-- +goose Down\nSELECT 1;\n"), 0o644)
}

// KeepMigrations copies the migrations as they are now beside the stage's
// repository and returns the flag with which cutover's own program takes them.
func (s *Stage) KeepMigrations(version string) (flag string, err error) {
	dir := filepath.Join(filepath.Dir(s.Source), "migrations-"+version)
	return "--migrations=" + dir, os.CopyFS(dir, os.DirFS(filepath.Join(s.Source, migrations)))
}

// Unmigrate takes a migration out of the stage's repository.
func (s *Stage) Unmigrate(name string) error {
	return os.Remove(filepath.Join(s.Source, migrations, name))
}

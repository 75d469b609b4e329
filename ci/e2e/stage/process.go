package stage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Call is one call of a program and how it ended.
type Call struct {
	Stdout, Stderr string
	// Code is the exit code, -1 when a signal ended the program.
	Code       int
	Took       time.Duration
	Start, End time.Time
}

// Error is what the command ended with, without the progress before it.
func (c Call) Error() string {
	_, text, _ := strings.Cut(c.Stderr, "\nError: ")
	return text
}

// Output is everything that was printed.
func (c Call) Output() string { return c.Stdout + c.Stderr }

// Process is a program that runs, with all that it starts itself.
type Process struct {
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
	ended          chan struct{}
	call           Call
	err            error
}

// Kill ends the program and all that it started, at once and without a word, and
// reports whether it still ran.
func (p *Process) Kill() bool {
	err := p.kill()
	<-p.ended
	return err == nil && p.call.Code == -1
}

func (p *Process) kill() error {
	select {
	case <-p.ended:
		return os.ErrProcessDone
	default:
		return syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // the whole group
	}
}

// Ended is closed when the program has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Wait waits for the program's end. The error says that it could not be run; how
// it ended is in the Call.
func (p *Process) Wait() (Call, error) {
	<-p.ended
	return p.call, p.err
}

// Dagger calls a function of the module as a user would. progress, if not nil,
// is shown the progress as it comes.
func (s *Stage) Dagger(ctx context.Context, progress io.Writer, args ...string) (Call, error) {
	return run(ctx, s.Root, progress, "dagger", s.daggerArgs(args)...)
}

// StartDagger is Dagger for a call that may be killed.
func (s *Stage) StartDagger(ctx context.Context, args ...string) (*Process, error) {
	return start(ctx, s.Root, nil, "dagger", s.daggerArgs(args)...)
}

func (s *Stage) daggerArgs(args []string) []string {
	return append([]string{"call", "--progress=plain", "--source=" + s.Source, "--repository=" + s.repository()}, args...)
}

func (s *Stage) repository() string { return s.Registry + "/notes" }

// Cluster returns the flags that lead a function to the stage's cluster.
func (s *Stage) Cluster() []string { return []string{"--kubeconfig=file://" + s.Account()} }

// Secrets returns the flag with the stage's secrets.
func (s *Stage) Secrets() []string { return []string{"--secrets=file://" + s.secretsFile()} }

func (s *Stage) secretsFile() string {
	return filepath.Join(os.TempDir(), "cutover-"+s.Namespace+".secrets.env")
}

// program is where Build puts cutover's own program.
func (s *Stage) program() string { return filepath.Join(s.Root, "build/cutover") }

// Build compiles cutover's own program for this machine.
func (s *Stage) Build(ctx context.Context) error {
	call, err := run(ctx, s.Root, nil, "go", "build", "-o", s.program(), "./ci/cmd/cutover")
	if err == nil && call.Code != 0 {
		err = fmt.Errorf("cutover cannot be built: exit code %d: %s", call.Code, strings.TrimSpace(call.Stderr))
	}
	return err
}

// Cutover starts cutover's own program, which Build made, with a command that
// acts on the stage. Later flags win over those that it gets anyway.
func (s *Stage) Cutover(ctx context.Context, command string, more ...string) (*Process, error) {
	args := []string{command, "--dir=" + s.Source, "--env=dev", "--repository=" + s.repository(), "--kubeconfig=" + s.Account()}
	return start(ctx, s.Root, nil, s.program(), append(args, more...)...)
}

// Deploy starts cutover's own program with a published version.
func (s *Stage) Deploy(ctx context.Context, v Version, more ...string) (*Process, error) {
	args := append(s.WithSecrets(), "--version="+v.Name, "--image="+v.Image, "--bundle="+v.Bundle,
		"--migrations="+filepath.Join(s.Source, "example/migrations"))
	return s.Cutover(ctx, "deploy", append(args, more...)...)
}

// WithSecrets returns the flag with the stage's secrets for cutover's own program.
func (s *Stage) WithSecrets() []string { return []string{"--secrets=" + s.secretsFile()} }

func run(ctx context.Context, dir string, progress io.Writer, program string, args ...string) (Call, error) {
	p, err := start(ctx, dir, progress, program, args...)
	if err != nil {
		return Call{}, err
	}
	return p.Wait()
}

func start(ctx context.Context, dir string, progress io.Writer, program string, args ...string) (*Process, error) {
	p := &Process{cmd: exec.CommandContext(ctx, program, args...), ended: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, &p.stdout, &p.stderr
	p.cmd.Env = append(os.Environ(), "NO_COLOR=1")
	if progress != nil {
		p.cmd.Stderr = io.MultiWriter(&p.stderr, progress)
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a group, to be killed as a whole
	p.cmd.Cancel = p.kill
	p.call.Start = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go p.wait()
	return p, nil
}

func (p *Process) wait() {
	defer close(p.ended)
	err := p.cmd.Wait()
	p.call.End = time.Now()
	p.call.Took = p.call.End.Sub(p.call.Start)
	p.call.Stdout, p.call.Stderr, p.call.Code = p.stdout.String(), p.stderr.String(), p.cmd.ProcessState.ExitCode()
	if exit := new(exec.ExitError); !errors.As(err, &exit) { // how it ended is in Code
		p.err = err
	}
}

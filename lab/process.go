package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// A program is one long-running process of the lab.
type program struct {
	name  string
	path  string
	args  []string
	env   []string
	files []string // what it reads once, at its start; a change starts it anew
	ports []int    // what it listens on
	ready func(context.Context) error

	privateMounts bool
	prepare       func(context.Context) error // clears what a killed one left
	patience      time.Duration               // for its readiness and its end; 0 means a minute and 10 s
}

// The environment of every process carries the name of its program, and so does
// that of its children: this is how those of a killed parent are recognised.
const marker = "CUTOVER_LAB_PROGRAM"

// searchPath is the PATH of the lab's processes, whatever the caller's was.
const searchPath = home + "/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// A record is the content of a pid file.
type record struct {
	PID   int    `json:"pid"`
	Start string `json:"start"` // in clock ticks after boot
	Boot  string `json:"boot"`
	Spec  string `json:"spec"` // what it was started as
}

func (p *program) pidFile() string { return in("run", p.name+".pid") }
func (p *program) log() string     { return in("log", p.name+".log") }

func readRecord(path string) record {
	var r record
	if data, err := os.ReadFile(path); err == nil {
		_ = json.Unmarshal(data, &r) // an unreadable one is nobody's
	}
	return r
}

// alive says whether the recorded process still runs, and not another one that
// got its pid since.
func (r record) alive(p procfs) bool {
	if r.PID == 0 || r.Boot != p.boot() {
		return false
	}
	start, running := p.started(r.PID)
	return running && start == r.Start
}

// alive says whether the program runs, and as which process.
func (p *program) alive() (pid int, alive bool) {
	r := readRecord(p.pidFile())
	return r.PID, r.alive(proc)
}

// start starts the program unless it runs already, as it should be, and waits
// until it is ready.
func (p *program) start(ctx context.Context) (changed bool, err error) {
	spec, err := p.spec()
	if err != nil {
		return false, err
	}
	r := readRecord(p.pidFile())
	if !r.alive(proc) || r.Spec != spec {
		if err := p.stop(ctx); err != nil {
			return false, err
		}
		if p.prepare != nil {
			if err := p.prepare(ctx); err != nil {
				return false, err
			}
		}
		if r, err = p.launch(spec); err != nil {
			return false, err
		}
		changed = true
	}
	return changed, p.await(ctx, r)
}

func (p *program) launch(spec string) (record, error) {
	if err := os.MkdirAll(in("log"), 0o755); err != nil {
		return record{}, err
	}
	// One log per start, and the one before: enough to see why it ended.
	_ = os.Rename(p.log(), p.log()+".before")
	log, err := os.OpenFile(p.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return record{}, err
	}
	defer log.Close()
	cmd := exec.Command(p.path, p.args...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "PATH="+searchPath, marker+"="+p.name)
	cmd.Env = append(cmd.Env, p.env...)
	detach(cmd)
	if p.privateMounts {
		ownMounts(cmd)
	}
	if err := cmd.Start(); err != nil {
		return record{}, fmt.Errorf("cannot start %s: %v", p.name, err)
	}
	go cmd.Wait() // so that one that ends at once is seen as gone, not as a zombie
	start, _ := proc.started(cmd.Process.Pid)
	r := record{PID: cmd.Process.Pid, Start: start, Boot: proc.boot(), Spec: spec}
	data, err := json.Marshal(r)
	if err != nil {
		return r, err
	}
	return r, writeFile(p.pidFile(), data, 0o644)
}

// await waits until the program is ready, by asking it.
func (p *program) await(ctx context.Context, r record) error {
	patience := max(p.patience, time.Minute)
	deadline := time.Now().Add(patience)
	for {
		attempt, cancel := context.WithTimeout(ctx, 3*time.Second)
		err := p.ready(attempt)
		cancel()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("stopped by you while %s was starting; run `go run ./lab up` to go on from here", p.name)
		case !r.alive(proc):
			return fmt.Errorf("%s ended right after its start; what started before it still runs; its last words, from %s:\n%s",
				p.name, p.log(), tail(p.log(), 15))
		case time.Now().After(deadline):
			return fmt.Errorf("%s runs (process %d) but was not ready after %s: %v; if its log says nothing, `go run ./lab down` and `up` start it afresh; its last words, from %s:\n%s",
				p.name, r.PID, round(patience), err, p.log(), tail(p.log(), 15))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// stop ends the program, and the children it left if it was killed.
func (p *program) stop(ctx context.Context) error {
	r := readRecord(p.pidFile())
	if r.alive(proc) {
		if err := end(ctx, max(p.patience, 10*time.Second), r.PID); err != nil {
			return fmt.Errorf("cannot stop %s: %v", p.name, err)
		}
	}
	if err := end(ctx, 5*time.Second, p.orphans()...); err != nil {
		return fmt.Errorf("cannot stop what %s left running: %v", p.name, err)
	}
	if err := os.Remove(p.pidFile()); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// orphans returns the processes that the program, or a start of it that did not
// get as far as its pid file, left behind. Shims are not among them: they keep
// pods running without containerd, which finds them again.
func (p *program) orphans() []int {
	var pids []int
	for _, pid := range proc.with(marker + "=" + p.name) {
		if !isShim(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func isShim(pid int) bool { return strings.HasPrefix(proc.name(pid), "containerd-shim") }

// end asks processes to end, and kills those that have not done so in time.
func end(ctx context.Context, patience time.Duration, pids ...int) error {
	starts := map[int]string{}
	for _, pid := range pids {
		if start, running := proc.started(pid); running {
			starts[pid] = start
		}
	}
	for _, attempt := range []struct {
		signal   syscall.Signal
		patience time.Duration
	}{{syscall.SIGTERM, patience}, {syscall.SIGKILL, 10 * time.Second}} {
		for pid := range starts {
			if process, err := os.FindProcess(pid); err == nil {
				_ = process.Signal(attempt.signal) // it may have ended meanwhile
			}
		}
		deadline := time.Now().Add(attempt.patience)
		for len(starts) > 0 && time.Now().Before(deadline) && ctx.Err() == nil {
			for pid, start := range starts {
				if now, running := proc.started(pid); !running || now != start {
					delete(starts, pid)
				}
			}
			time.Sleep(20 * time.Millisecond)
		}
		if len(starts) == 0 {
			return nil
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("processes %v do not end, not even when killed", pids)
}

// spec is a fingerprint of all that makes the running process what it is.
func (p *program) spec() (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q\n", p.path, p.args, p.env)
	info, err := os.Stat(p.path)
	if err != nil {
		return "", fmt.Errorf("%s is missing: %v", p.name, err)
	}
	fmt.Fprintln(h, info.Size(), info.ModTime().UnixNano())
	for _, f := range p.files {
		data, err := os.ReadFile(f)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%q %d\n", f, len(data))
		h.Write(data)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// fakeProc makes a /proc with one process in it.
func fakeProc(t *testing.T, pid int, name, state, start string) procfs {
	t.Helper()
	root := t.TempDir()
	stat := fmt.Sprintf("%d (%s) %s 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 %s 0 0", pid, name, state, start)
	for path, content := range map[string]string{
		fmt.Sprintf("%d/stat", pid): stat,
		fmt.Sprintf("%d/comm", pid): name + "\n",
		"sys/kernel/random/boot_id": "boot-1\n",
	} {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return procfs(root)
}

func TestRecordIsAlive(t *testing.T) {
	running := fakeProc(t, 7, "etcd", "S", "1234")
	tests := map[string]struct {
		proc   procfs
		record record
		want   bool
	}{
		"the same process":          {running, record{PID: 7, Start: "1234", Boot: "boot-1"}, true},
		"the pid of another":        {running, record{PID: 7, Start: "99", Boot: "boot-1"}, false},
		"before a machine restart":  {running, record{PID: 7, Start: "1234", Boot: "boot-0"}, false},
		"no such process":           {running, record{PID: 8, Start: "1234", Boot: "boot-1"}, false},
		"no pid file":               {running, record{}, false},
		"a zombie":                  {fakeProc(t, 7, "etcd", "Z", "1234"), record{PID: 7, Start: "1234", Boot: "boot-1"}, false},
		"a name with a parenthesis": {fakeProc(t, 7, "a) Z (b", "R", "1234"), record{PID: 7, Start: "1234", Boot: "boot-1"}, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := test.record.alive(test.proc); got != test.want {
				t.Errorf("alive = %v, want %v", got, test.want)
			}
		})
	}
}

func TestReadRecordOfHalfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "etcd.pid")
	if err := os.WriteFile(path, []byte(`{"pid": 12`), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := readRecord(path); r.alive(proc) {
		t.Errorf("half a pid file names a live process: %+v", r)
	}
}

func TestEndKillsWhatDoesNotListen(t *testing.T) {
	cmd := exec.Command("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	go cmd.Wait()
	if err := end(t.Context(), 100_000_000, cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if _, running := proc.started(cmd.Process.Pid); running {
		t.Error("it still runs")
	}
}

func TestSpecChangesWithItsFiles(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config")
	p := &program{name: "p", path: "/proc/self/exe", files: []string{config}}
	specs := map[string]bool{}
	for _, content := range []string{"a", "b", "a"} {
		if err := os.WriteFile(config, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		spec, err := p.spec()
		if err != nil {
			t.Fatal(err)
		}
		specs[spec] = true
	}
	if len(specs) != 2 {
		t.Errorf("two contents, %d specs", len(specs))
	}
}

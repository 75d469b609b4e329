package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A procfs answers questions about processes from /proc.
type procfs string

const proc procfs = "/proc"

func (p procfs) path(pid int, file string) string {
	return filepath.Join(string(p), strconv.Itoa(pid), file)
}

// boot names the machine's current start.
func (p procfs) boot() string {
	data, _ := os.ReadFile(filepath.Join(string(p), "sys/kernel/random/boot_id"))
	return strings.TrimSpace(string(data))
}

// started returns a process's start time in clock ticks after boot, and whether
// there is such a process. A pid is given to another process sooner or later;
// a pid with its start time is not. A zombie counts as gone.
func (p procfs) started(pid int) (ticks string, running bool) {
	data, err := os.ReadFile(p.path(pid, "stat"))
	if err != nil {
		return "", false
	}
	// The name, in parentheses, may itself hold spaces and parentheses.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return "", false
	}
	return fields[19], true
}

// name returns the short name of a process.
func (p procfs) name(pid int) string {
	data, _ := os.ReadFile(p.path(pid, "comm"))
	return strings.TrimSpace(string(data))
}

// with returns the processes whose environment holds the given setting.
func (p procfs) with(setting string) []int {
	var found []int
	for _, pid := range p.pids() {
		environ, err := os.ReadFile(p.path(pid, "environ"))
		if err != nil {
			continue
		}
		for _, s := range bytes.Split(environ, []byte{0}) {
			if string(s) == setting {
				found = append(found, pid)
				break
			}
		}
	}
	return found
}

func (p procfs) pids() []int {
	entries, _ := os.ReadDir(string(p))
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// listener returns the process that listens on a TCP port, or 0.
func (p procfs) listener(port int) int {
	inodes := map[string]bool{}
	for _, table := range []string{"net/tcp", "net/tcp6"} {
		f, err := os.Open(filepath.Join(string(p), table))
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			fields := strings.Fields(lines.Text())
			if len(fields) > 9 && fields[3] == "0A" && strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", port)) {
				inodes["socket:["+fields[9]+"]"] = true
			}
		}
		f.Close()
	}
	if len(inodes) == 0 {
		return 0
	}
	for _, pid := range p.pids() {
		files, _ := os.ReadDir(p.path(pid, "fd"))
		for _, f := range files {
			if target, err := os.Readlink(filepath.Join(p.path(pid, "fd"), f.Name())); err == nil && inodes[target] {
				return pid
			}
		}
	}
	return 0
}

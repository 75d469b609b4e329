package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
)

// A machine answers what the checks ask. Tests put one together themselves.
type machine struct {
	system string
	uid    int
	goTool error
	built  bool // whether the big things are there already
	free   func(path string) (uint64, error)
}

func thisMachine() machine {
	_, goTool := exec.LookPath("go")
	return machine{
		system: runtime.GOOS,
		uid:    os.Geteuid(),
		goTool: goTool,
		built:  exists(in("bin", "kubernetes")) && exists(in("images", "layers")),
		free:   freeBytes,
	}
}

const (
	roomToBuild = 15 << 30
	roomToRun   = 2 << 30
)

// suits says in one sentence what keeps the lab from running on a machine of
// this kind.
func (m machine) suits() error {
	if m.system != "linux" {
		return fmt.Errorf("the lab needs Linux and this is %s; run it in a container with the `docker run --privileged` line in lab/README.md", m.system)
	}
	if m.uid != 0 {
		return fmt.Errorf("the lab needs root (it makes network links, mounts and control groups) and you are user %d; run it as root, for example `sudo -E env PATH=\"$PATH\" go run ./lab up`", m.uid)
	}
	return nil
}

// fits says in one sentence what the machine lacks to build the lab.
func (m machine) fits() error {
	if m.goTool != nil {
		return fmt.Errorf("the `go` command is not on PATH and the lab compiles its programs with it; put it there, for example `export PATH=\"$PATH:/usr/local/go/bin\"`")
	}
	need := uint64(roomToBuild)
	if m.built {
		need = roomToRun
	}
	free, err := m.free(existing(home))
	if err != nil {
		return fmt.Errorf("cannot see how much room %s has: %v", home, err)
	}
	if free < need {
		return fmt.Errorf("the disk under %s has %s free and the lab needs %s: %s are missing; free that much, or mount a bigger disk there", home, gigabytes(free), gigabytes(need), gigabytes(need-free))
	}
	return nil
}

func gigabytes(n uint64) string {
	return strconv.FormatFloat(float64(n)/(1<<30), 'f', 1, 64) + " GB"
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// existing returns the path or its nearest parent that is there.
func existing(path string) string {
	for !exists(path) {
		path = filepath.Dir(path)
	}
	return path
}

// checkPorts finds out before anything starts whether another program holds a
// port that one of the lab's needs.
func (l *lab) checkPorts(context.Context) (bool, error) {
	for _, p := range l.programs() {
		if _, alive := p.alive(); alive {
			continue
		}
		ours := map[int]bool{}
		for _, pid := range p.orphans() {
			ours[pid] = true // its start clears these away
		}
		for _, port := range p.ports {
			err := tryPort(port)
			if err == nil {
				continue
			}
			holder := proc.listener(port)
			if ours[holder] {
				continue
			}
			return false, portTaken(p.name, port, holder, proc.name(holder))
		}
	}
	return false, nil
}

func tryPort(port int) error {
	listener, err := net.Listen("tcp", ":"+strconv.Itoa(port))
	if err != nil {
		return err
	}
	return listener.Close()
}

func portTaken(program string, port, pid int, name string) error {
	holder := "by a program that cannot be told from here"
	then := fmt.Sprintf("find it with `ss -lntp 'sport = :%d'`, stop it", port)
	if pid != 0 {
		holder = fmt.Sprintf("by %s (process %d)", name, pid)
		then = fmt.Sprintf("stop it (`kill %d`, or `systemctl disable --now` if it is a service)", pid)
	}
	return fmt.Errorf("port %d, which the lab's %s needs, is taken %s; nothing was started; %s and run `go run ./lab up` again", port, program, holder, then)
}

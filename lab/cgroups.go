package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"
)

// cgroup is the control group that pods and Dagger's containers live in, so that
// the lab finds what is its own after everything else was killed.
const cgroup = "cutover-lab"

// hierarchies returns where control groups are mounted: many places for version
// 1, one for version 2, and on some machines both.
func hierarchies() (v1, v2 []string, err error) {
	f, err := os.Open("/proc/mounts")
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		switch fields[2] {
		case "cgroup":
			v1 = append(v1, fields[1])
		case "cgroup2":
			v2 = append(v2, fields[1])
		}
	}
	if len(v1)+len(v2) == 0 {
		return nil, nil, errors.New("no control groups are mounted, and containers need them; mount them (`mount -t cgroup2 cgroup2 /sys/fs/cgroup`) and run `go run ./lab up` again")
	}
	return v1, v2, nil
}

func prepareCgroups(context.Context) (changed bool, err error) {
	v1, v2, err := hierarchies()
	if err != nil {
		return false, err
	}
	for _, root := range append(v1, v2...) {
		changed = changed || !exists(filepath.Join(root, cgroup))
		if err := os.MkdirAll(filepath.Join(root, cgroup), 0o755); err != nil {
			return changed, err
		}
	}
	for _, root := range v1 {
		// A new cpuset has no processors and no memory, and nothing can be in it.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			data, err := os.ReadFile(filepath.Join(root, file))
			if err != nil {
				continue // another controller's hierarchy
			}
			if err := os.WriteFile(filepath.Join(root, cgroup, file), data, 0); err != nil {
				return changed, err
			}
		}
	}
	if len(v1) > 0 {
		return changed, nil // a version 2 beside version 1 has no controllers
	}
	for _, root := range v2 {
		if err := delegate(root); err != nil {
			return changed, err
		}
	}
	return changed, nil
}

// delegate lets groups below the root of a version 2 hierarchy have controllers.
// In a container that root is a group like any other: it can hand controllers
// down only while no process is in it, so those move to a group of their own.
func delegate(root string) error {
	controllers, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	if err != nil {
		return err
	}
	enable := "+" + strings.Join(strings.Fields(string(controllers)), " +")
	if os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte(enable), 0) != nil {
		aside := filepath.Join(root, "init")
		if err := os.MkdirAll(aside, 0o755); err != nil {
			return err
		}
		procs, err := os.ReadFile(filepath.Join(root, "cgroup.procs"))
		if err != nil {
			return err
		}
		for _, pid := range strings.Fields(string(procs)) {
			_ = os.WriteFile(filepath.Join(aside, "cgroup.procs"), []byte(pid), 0) // kernel threads stay
		}
		if err := os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte(enable), 0); err != nil {
			return fmt.Errorf("cannot hand control groups down to the lab's containers: %v", err)
		}
	}
	return os.WriteFile(filepath.Join(root, cgroup, "cgroup.subtree_control"), []byte(enable), 0)
}

// killContained kills every process in the named part of the lab's group, until
// none is left.
func killContained(part string) error {
	v1, v2, err := hierarchies()
	if err != nil {
		return err
	}
	deadline := time.Now().Add(15 * time.Second)
	for {
		pids := map[int]bool{}
		for _, root := range append(v1, v2...) {
			for _, group := range below(filepath.Join(root, cgroup, part)) {
				data, _ := os.ReadFile(filepath.Join(group, "cgroup.procs"))
				for _, field := range strings.Fields(string(data)) {
					if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
						if _, running := proc.started(pid); running {
							pids[pid] = true
						}
					}
				}
			}
		}
		if len(pids) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d processes of containers do not end, not even when killed", len(pids))
		}
		for pid := range pids {
			if process, err := os.FindProcess(pid); err == nil {
				_ = process.Kill()
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func removeCgroups() error {
	v1, v2, err := hierarchies()
	if err != nil {
		return nil // none, then
	}
	var failed []error
	for _, root := range append(v1, v2...) {
		groups := below(filepath.Join(root, cgroup))
		sort.Sort(sort.Reverse(sort.StringSlice(groups))) // children first
		for _, group := range groups {
			if err := os.Remove(group); err != nil && !os.IsNotExist(err) {
				failed = append(failed, err)
			}
		}
	}
	return errors.Join(failed...)
}

// below returns a group and all groups in it.
func below(group string) (groups []string) {
	_ = filepath.WalkDir(group, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			groups = append(groups, path)
		}
		return nil
	})
	return groups
}

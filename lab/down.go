package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// down stops the lab and takes back all that it put into the machine. What was
// built, the images and the cluster's state stay. It goes on after a failure, so
// that a half-dead lab ends as clean as can be.
func down(ctx context.Context) error {
	if err := thisMachine().suits(); err != nil {
		return err
	}
	unlock, err := lock()
	if err != nil {
		return err
	}
	defer unlock()
	l := at("127.0.0.1") // stopping needs no address

	var failed []error
	do := func(what string, f func() error) {
		began := time.Now()
		if err := f(); err != nil {
			fmt.Printf("--  %s: %v\n", what, err)
			failed = append(failed, err)
			return
		}
		ok(what, true, time.Since(began))
	}
	programs := l.programs()
	slices.Reverse(programs)
	for _, p := range programs {
		do(p.name+" is stopped", func() error { return p.stop(ctx) })
	}
	do("containers and their shims are gone", func() error { return endContainers(ctx) })
	do("mounts are gone", func() error { return unmountBelow(home, sockets) })
	do("control groups are gone", removeCgroups)
	do("network links, routes and rules are gone", func() error { return removeNetwork(ctx) })
	do("sockets and leases are gone", removeLeftovers)
	if len(failed) > 0 {
		return fmt.Errorf("the lab is down but for the %d lines above that begin with `--`; run `go run ./lab down` again, and restart the machine if that does not help", len(failed))
	}
	fmt.Printf("\nThe lab is down. What it built is still in %s; `go run ./lab up` starts it again.\n", home)
	return nil
}

// endContainers ends what containerd and the engine leave running on purpose.
func endContainers(ctx context.Context) error {
	if err := killContained(""); err != nil {
		return err
	}
	var shims []int
	for _, pid := range proc.with(marker + "=containerd") {
		if isShim(pid) {
			shims = append(shims, pid)
		}
	}
	return end(ctx, 2*time.Second, shims...)
}

// unmountBelow takes away all mounts below the folders, the inner ones first.
func unmountBelow(folders ...string) error {
	mounts, err := os.Open("/proc/self/mounts")
	if err != nil {
		return err
	}
	defer mounts.Close()
	var ours []string
	for lines := bufio.NewScanner(mounts); lines.Scan(); {
		// Blanks in paths are written in octal.
		path := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\134`, `\`).Replace(strings.Fields(lines.Text())[1])
		for _, folder := range folders {
			if strings.HasPrefix(path, folder+"/") {
				ours = append(ours, path)
			}
		}
	}
	var failed []error
	for _, path := range slices.Backward(ours) {
		if err := unmount(path); err != nil {
			failed = append(failed, fmt.Errorf("cannot unmount %s: %v", path, err))
		}
	}
	return errors.Join(failed...)
}

// removeLeftovers removes the files that are worth nothing without processes.
func removeLeftovers() error {
	allowDaemons()
	failed := []error{removeEngineState(), removeResults(sockets)}
	for _, path := range []string{sockets, "/run/dagger", "/run/buildkit"} {
		failed = append(failed, os.RemoveAll(path))
	}
	// The shims' sockets lie in a folder that they share with those of any other
	// containerd; a dead one refuses.
	shims, _ := filepath.Glob("/run/containerd/s/*")
	for _, path := range shims {
		if conn, err := net.Dial("unix", path); err == nil {
			conn.Close()
		} else if errors.Is(err, syscall.ECONNREFUSED) {
			failed = append(failed, os.Remove(path))
		}
	}
	logs, _ := filepath.Glob("/var/log/containers/*")
	for _, path := range logs {
		if target, err := os.Readlink(path); err == nil && strings.HasPrefix(target, home+"/") {
			failed = append(failed, os.Remove(path))
		}
	}
	// The engine mounts the machine's resolv.conf there, in its own namespace;
	// what is seen from here is the empty file it made for that.
	const resolver = "/etc/dnsmasq-resolv.conf"
	if info, err := os.Stat(resolver); err == nil && info.Size() == 0 {
		failed = append(failed, os.Remove(resolver))
	}
	return errors.Join(failed...)
}

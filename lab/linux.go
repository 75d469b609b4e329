//go:build linux

package main

import (
	"os"
	"os/exec"
	"syscall"
)

// detach gives a process a session of its own, so that it outlives the `go run`
// that started it.
func detach(cmd *exec.Cmd) {
	attributes(cmd).Setsid = true
}

// ownMounts gives a process a mount namespace of its own: what it mounts is
// seen by nobody else and is gone with it.
func ownMounts(cmd *exec.Cmd) {
	attributes(cmd).Unshareflags |= syscall.CLONE_NEWNS
}

func attributes(cmd *exec.Cmd) *syscall.SysProcAttr {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	return cmd.SysProcAttr
}

func lockFile(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

func freeBytes(path string) (uint64, error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(path, &fs); err != nil {
		return 0, err
	}
	return fs.Bavail * uint64(fs.Bsize), nil
}

// unmount takes a mount away even while someone uses it.
func unmount(path string) error {
	return syscall.Unmount(path, syscall.MNT_DETACH)
}

// opaque says whether a folder of an overlay's upper layer hides the folder of
// the same name below it.
func opaque(path string) bool {
	value := make([]byte, 1)
	n, err := syscall.Getxattr(path, "trusted.overlay.opaque", value)
	return err == nil && n == 1 && value[0] == 'y'
}

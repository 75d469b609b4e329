package main

import (
	"bytes"
	"os"
	"path/filepath"
)

// home holds all that the lab builds and keeps. It is not in the checkout, so
// that a second clone of the repository finds everything ready.
// lab/dagger/distconsts names the same folder; a test compares the two.
const home = "/var/lib/cutover-lab"

// sockets holds what is worth nothing once the processes are gone: sockets,
// network namespaces, the address leases of pods.
const sockets = "/run/cutover-lab"

// in names a path below the lab's home.
func in(elem ...string) string {
	return filepath.Join(append([]string{home}, elem...)...)
}

// writeFile puts data at path in one move, so that a kill at any moment leaves
// either the old file or the new one. It leaves an equal file alone.
func writeFile(path string, data []byte, mode os.FileMode) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return os.Chmod(path, mode)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // fails after the rename, as it should
	if _, err := temp.Write(data); err != nil {
		temp.Close()
		return err
	}
	if err := temp.Chmod(mode); err != nil {
		temp.Close()
		return err
	}
	if err := temp.Close(); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

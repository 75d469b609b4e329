package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func writeTree(t *testing.T, root string, when time.Time) {
	t.Helper()
	for _, dir := range []string{"etc", "usr/bin", "run/lock"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"usr/bin/b", "usr/bin/a", "etc/hosts", "run/lock/x"} {
		path := filepath.Join(root, name)
		if err := os.WriteFile(path, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a", filepath.Join(root, "usr/bin/c")); err != nil {
		t.Fatal(err)
	}
}

func TestEqualTreesMakeEqualLayers(t *testing.T) {
	s := store(t.TempDir())
	var digests []string
	for _, when := range []time.Time{time.Unix(1, 0), time.Unix(2_000_000, 5)} {
		root := t.TempDir()
		writeTree(t, root, when)
		d, err := s.put(layerType, func(w io.Writer) error {
			return writeLayer(w, func(l layerWriter) error { return l.tree(root, "", nil) })
		})
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, d.Digest)
	}
	if digests[0] != digests[1] {
		t.Errorf("the same files with other times made another layer: %v", digests)
	}
}

func TestTreeNames(t *testing.T) {
	root := t.TempDir()
	writeTree(t, root, time.Now())
	var layer bytes.Buffer
	err := writeLayer(&layer, func(l layerWriter) error { return l.tree(root, "opt", skipBelow("run")) })
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for r := tar.NewReader(&layer); ; {
		header, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, header.Name)
	}
	want := []string{"opt/etc/", "opt/etc/hosts", "opt/run/", "opt/usr/", "opt/usr/bin/", "opt/usr/bin/a", "opt/usr/bin/b", "opt/usr/bin/c"}
	if !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}

func TestLayerIsBuiltOncePerIngredients(t *testing.T) {
	s := store(t.TempDir())
	builds := 0
	build := func(w io.Writer) error {
		builds++
		_, err := w.Write([]byte{byte(builds)})
		return err
	}
	for _, ingredients := range []string{"flour", "flour", "water", "water"} {
		if _, _, err := s.layer("bread", ingredients, build); err != nil {
			t.Fatal(err)
		}
	}
	if builds != 2 {
		t.Errorf("built %d times, want 2", builds)
	}
}

func TestFailedLayerLeavesNothing(t *testing.T) {
	s := store(t.TempDir())
	_, _, err := s.layer("bread", "flour", func(w io.Writer) error {
		w.Write([]byte("half"))
		return errors.New("the oven is cold")
	})
	if err == nil {
		t.Fatal("no error")
	}
	left, _ := filepath.Glob(filepath.Join(string(s), "blobs", "sha256", "*"))
	hidden, _ := filepath.Glob(filepath.Join(string(s), "blobs", "sha256", ".*"))
	if len(left)+len(hidden) > 0 {
		t.Errorf("left behind: %v %v", left, hidden)
	}
}

func TestImageIsDeterministic(t *testing.T) {
	layer := descriptor{MediaType: layerType, Digest: "sha256:" + "00", Size: 1}
	var manifests []string
	for range 2 {
		i, err := store(t.TempDir()).image("library/x:1", runConfig{Env: []string{"A=b"}, Cmd: []string{"x"}}, layer)
		if err != nil {
			t.Fatal(err)
		}
		manifests = append(manifests, i.manifest.Digest)
	}
	if manifests[0] != manifests[1] {
		t.Errorf("equal images, other manifests: %v", manifests)
	}
}

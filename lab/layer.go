package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// A descriptor names a blob by its content, as the OCI image format does.
type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
}

// digest names data by its content.
func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

const layerType = "application/vnd.oci.image.layer.v1.tar"

// A store keeps the blobs of images below its folder.
type store string

func (s store) blobs() string { return filepath.Join(string(s), "blobs", "sha256") }

func (s store) blob(digest string) string {
	return filepath.Join(s.blobs(), strings.TrimPrefix(digest, "sha256:"))
}

// put stores what write writes.
func (s store) put(mediaType string, write func(io.Writer) error) (descriptor, error) {
	if err := os.MkdirAll(s.blobs(), 0o755); err != nil {
		return descriptor{}, err
	}
	temp, err := os.CreateTemp(s.blobs(), ".new-*")
	if err != nil {
		return descriptor{}, err
	}
	defer os.Remove(temp.Name())
	defer temp.Close()
	h := sha256.New()
	if err := write(io.MultiWriter(temp, h)); err != nil {
		return descriptor{}, err
	}
	size, err := temp.Seek(0, io.SeekCurrent)
	if err != nil {
		return descriptor{}, err
	}
	d := descriptor{MediaType: mediaType, Digest: "sha256:" + hex.EncodeToString(h.Sum(nil)), Size: size}
	if err := temp.Chmod(0o644); err != nil {
		return descriptor{}, err
	}
	return d, os.Rename(temp.Name(), s.blob(d.Digest))
}

// layer returns the named layer, built by build unless the one there was made
// from the same ingredients.
func (s store) layer(name, ingredients string, build func(io.Writer) error) (d descriptor, changed bool, err error) {
	type note struct {
		Ingredients string     `json:"ingredients"`
		Layer       descriptor `json:"layer"`
	}
	var old note
	noteFile := filepath.Join(string(s), "layers", name+".json")
	if data, err := os.ReadFile(noteFile); err == nil {
		_ = json.Unmarshal(data, &old) // an unreadable one is built anew
	}
	if old.Ingredients == ingredients && exists(s.blob(old.Layer.Digest)) {
		return old.Layer, false, nil
	}
	busy("building the layer " + name)
	if d, err = s.put(layerType, build); err != nil {
		return d, false, fmt.Errorf("cannot build the image layer %s: %w", name, err)
	}
	if old.Layer.Digest != "" && old.Layer.Digest != d.Digest {
		os.Remove(s.blob(old.Layer.Digest))
	}
	data, err := json.MarshalIndent(note{ingredients, d}, "", "  ")
	if err != nil {
		return d, false, err
	}
	return d, true, writeFile(noteFile, data, 0o644)
}

// A layerWriter writes a layer's tar. Times are left out and names come in
// order, so that equal content makes an equal layer.
type layerWriter struct{ *tar.Writer }

func writeLayer(w io.Writer, write func(layerWriter) error) error {
	l := layerWriter{tar.NewWriter(w)}
	if err := write(l); err != nil {
		return err
	}
	return l.Close()
}

// file adds one file of root's.
func (l layerWriter) file(name string, mode int64, data []byte) error {
	err := l.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(data)),
		ModTime: time.Unix(0, 0), Format: tar.FormatPAX,
	})
	if err != nil {
		return err
	}
	_, err = l.Write(data)
	return err
}

// dir adds one folder.
func (l layerWriter) dir(name string, mode int64) error {
	return l.WriteHeader(&tar.Header{
		Typeflag: tar.TypeDir, Name: name + "/", Mode: mode,
		ModTime: time.Unix(0, 0), Format: tar.FormatPAX,
	})
}

// tree adds all below root, under the given prefix, but for what skip names
// (by its path below root). A folder that an overlay's upper layer marks, and a
// device that stands for a removed file, become the image format's own marks.
func (l layerWriter) tree(root, prefix string, skip func(string) bool) error {
	return filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		if rel == "." {
			return nil
		}
		if skip != nil && skip(rel) {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode()&fs.ModeSocket != 0 {
			return nil
		}
		target := ""
		if info.Mode()&fs.ModeSymlink != 0 {
			if target, err = os.Readlink(name); err != nil {
				return err
			}
		}
		header, err := tar.FileInfoHeader(info, target)
		if err != nil {
			return err
		}
		header.Name = path.Join(prefix, filepath.ToSlash(rel))
		header.Uname, header.Gname = "", ""
		header.ModTime, header.AccessTime, header.ChangeTime = time.Unix(0, 0), time.Time{}, time.Time{}
		header.Format = tar.FormatPAX
		if header.Typeflag == tar.TypeChar && header.Devmajor == 0 && header.Devminor == 0 {
			return l.file(path.Join(path.Dir(header.Name), ".wh."+path.Base(header.Name)), 0, nil)
		}
		if info.IsDir() {
			header.Name += "/"
		}
		if err := l.WriteHeader(header); err != nil {
			return err
		}
		if info.IsDir() && opaque(name) {
			return l.file(header.Name+".wh..wh..opq", 0, nil)
		}
		if !info.Mode().IsRegular() {
			return nil
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(l, f)
		return err
	})
}

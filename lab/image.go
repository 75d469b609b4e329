package main

import (
	"encoding/json"
	"io"
	"runtime"
)

// An image is a name and the digest of its manifest, whose blobs are in a store.
type image struct {
	name     string // with its tag, below the registry's address
	manifest descriptor
	blobs    []descriptor // the configuration and the layers
}

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
)

// A runConfig is what a container of an image runs, and how.
type runConfig struct {
	User         string              `json:",omitempty"`
	Env          []string            `json:",omitempty"`
	Entrypoint   []string            `json:",omitempty"`
	Cmd          []string            `json:",omitempty"`
	WorkingDir   string              `json:",omitempty"`
	StopSignal   string              `json:",omitempty"`
	ExposedPorts map[string]struct{} `json:",omitempty"`
	Volumes      map[string]struct{} `json:",omitempty"`
}

// image writes the configuration and the manifest of an image of the given layers.
func (s store) image(name string, config runConfig, layers ...descriptor) (image, error) {
	type rootfs struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	}
	fs := rootfs{Type: "layers"}
	for _, layer := range layers {
		fs.DiffIDs = append(fs.DiffIDs, layer.Digest) // the layers are not compressed
	}
	about, err := s.putJSON(configType, struct {
		Architecture string    `json:"architecture"`
		OS           string    `json:"os"`
		Config       runConfig `json:"config"`
		RootFS       rootfs    `json:"rootfs"`
	}{runtime.GOARCH, "linux", config, fs})
	if err != nil {
		return image{}, err
	}
	manifest, err := s.putJSON(manifestType, struct {
		SchemaVersion int          `json:"schemaVersion"`
		MediaType     string       `json:"mediaType"`
		Config        descriptor   `json:"config"`
		Layers        []descriptor `json:"layers"`
	}{2, manifestType, about, layers})
	return image{name, manifest, append([]descriptor{about}, layers...)}, err
}

func (s store) putJSON(mediaType string, v any) (descriptor, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return descriptor{}, err
	}
	return s.put(mediaType, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

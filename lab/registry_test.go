package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// registryDouble keeps what is pushed to it.
type registryDouble struct {
	blobs, manifests map[string][]byte
	uploads          int
}

func (r *registryDouble) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, _ := io.ReadAll(q.Body)
	last := q.URL.Path[strings.LastIndex(q.URL.Path, "/")+1:]
	switch {
	case q.Method == http.MethodHead && strings.Contains(q.URL.Path, "/manifests/"):
		manifest, ok := r.manifests[last]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Docker-Content-Digest", digest(manifest))
	case q.Method == http.MethodHead:
		if r.blobs[last] == nil {
			w.WriteHeader(http.StatusNotFound)
		}
	case q.Method == http.MethodPost:
		w.Header().Set("Location", "/v2/uploads/1?state=x")
		w.WriteHeader(http.StatusAccepted)
	case strings.Contains(q.URL.Path, "/manifests/"):
		r.manifests[last] = body
		w.WriteHeader(http.StatusCreated)
	default:
		r.uploads++
		if q.URL.Query().Get("state") != "x" || digest(body) != q.URL.Query().Get("digest") {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		r.blobs[q.URL.Query().Get("digest")] = body
		w.WriteHeader(http.StatusCreated)
	}
}

func TestPush(t *testing.T) {
	double := &registryDouble{blobs: map[string][]byte{}, manifests: map[string][]byte{}}
	server := httptest.NewServer(double)
	defer server.Close()
	s := store(t.TempDir())
	layer, err := s.put(layerType, func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader([]byte("layer")))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	i, err := s.image("library/x:1", runConfig{}, layer)
	if err != nil {
		t.Fatal(err)
	}
	for round, want := range []bool{true, false} {
		pushed, err := push(t.Context(), server.URL, s, i)
		if err != nil {
			t.Fatal(err)
		}
		if pushed != want {
			t.Errorf("push %d: pushed = %v, want %v", round+1, pushed, want)
		}
	}
	if double.uploads != 2 || string(double.blobs[layer.Digest]) != "layer" {
		t.Errorf("%d uploads, blobs %q", double.uploads, double.blobs)
	}
}

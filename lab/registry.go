package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const registryPort = 5000

func (l *lab) registryProgram() *program {
	return &program{
		name:  "registry",
		path:  "/usr/bin/docker-registry",
		args:  []string{"serve", in("etc", "registry.yml")},
		files: []string{in("etc", "registry.yml")},
		ports: []int{registryPort},
		ready: answers("http://127.0.0.1:5000/v2/", nil),
	}
}

// registryConfig lets it listen on every address, so that pods and Dagger's
// containers reach it by the machine's own.
func (l *lab) registryConfig() string {
	return `version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: ` + in("registry") + `}
  delete: {enabled: true}
http: {addr: ":5000"}
`
}

// pushImages puts the images into the registry that are not there yet.
func (l *lab) pushImages(ctx context.Context) (changed bool, err error) {
	for _, i := range l.images {
		pushed, err := push(ctx, "http://127.0.0.1:5000", imageStore, i)
		if err != nil {
			return changed, fmt.Errorf("cannot put the image %s into the lab's registry: %w", i.name, err)
		}
		changed = changed || pushed
	}
	return changed, nil
}

// push puts an image into a registry, by the registry's own protocol.
func push(ctx context.Context, registry string, s store, i image) (pushed bool, err error) {
	name, tag, _ := strings.Cut(i.name, ":")
	base := registry + "/v2/" + name
	header := http.Header{"Accept": {manifestType}}
	there, err := ask(ctx, http.MethodHead, base+"/manifests/"+tag, header, nil, 0)
	if err != nil {
		return false, err
	}
	if there.StatusCode == http.StatusOK && there.Header.Get("Docker-Content-Digest") == i.manifest.Digest {
		return false, nil
	}
	for _, blob := range i.blobs {
		if err := pushBlob(ctx, base, s, blob); err != nil {
			return false, err
		}
	}
	manifest, err := os.ReadFile(s.blob(i.manifest.Digest))
	if err != nil {
		return false, err
	}
	header = http.Header{"Content-Type": {manifestType}}
	answer, err := ask(ctx, http.MethodPut, base+"/manifests/"+tag, header, bytes.NewReader(manifest), int64(len(manifest)))
	if err != nil {
		return false, err
	}
	return true, expect(answer, http.StatusCreated)
}

func pushBlob(ctx context.Context, base string, s store, blob descriptor) error {
	there, err := ask(ctx, http.MethodHead, base+"/blobs/"+blob.Digest, nil, nil, 0)
	if err != nil || there.StatusCode == http.StatusOK {
		return err
	}
	// Another image may have brought the blob: then the registry only notes that
	// this one has it too.
	start, err := ask(ctx, http.MethodPost, base+"/blobs/uploads/?from=library/debian&mount="+url.QueryEscape(blob.Digest), nil, nil, 0)
	if err != nil || start.StatusCode == http.StatusCreated {
		return err
	}
	if err := expect(start, http.StatusAccepted); err != nil {
		return err
	}
	location, err := start.Location()
	if err != nil {
		return err
	}
	query := location.Query()
	query.Set("digest", blob.Digest)
	location.RawQuery = query.Encode()
	f, err := os.Open(s.blob(blob.Digest))
	if err != nil {
		return err
	}
	defer f.Close()
	header := http.Header{"Content-Type": {"application/octet-stream"}}
	answer, err := ask(ctx, http.MethodPut, location.String(), header, f, blob.Size)
	if err != nil {
		return err
	}
	return expect(answer, http.StatusCreated)
}

// ask sends one request and reads the answer to its end.
func ask(ctx context.Context, method, address string, header http.Header, body io.Reader, size int64) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, err
	}
	request.ContentLength = size
	for key, values := range header {
		request.Header[key] = values
	}
	answer, err := local.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(io.LimitReader(answer.Body, 1<<16))
	answer.Body = io.NopCloser(bytes.NewReader(said))
	return answer, err
}

func expect(answer *http.Response, status int) error {
	if answer.StatusCode == status {
		return nil
	}
	said, _ := io.ReadAll(answer.Body)
	return fmt.Errorf("%s %s answered %s: %s", answer.Request.Method, answer.Request.URL.Path, answer.Status, strings.TrimSpace(string(said)))
}

// local talks to this machine only, so never through a proxy.
var local = &http.Client{Transport: &http.Transport{Proxy: nil}, Timeout: 5 * time.Minute}

// answers asks an address until it says 200. Nil for the client means local.
func answers(address string, client *http.Client) func(context.Context) error {
	if client == nil {
		client = local
	}
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return err
		}
		answer, err := client.Do(request)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answered %s", address, answer.Status)
		}
		return nil
	}
}

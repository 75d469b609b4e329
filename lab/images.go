package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// The images the lab makes stand in for Docker Hub's on a machine that does not
// reach it: they carry the same names and hold the same programs, but are made
// of Debian's packages and this machine's Go toolchain.

const (
	imageStore   store = home + "/images"
	contentStore store = home + "/content" // where the engine looks for its Go SDK
)

const debianPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

var (
	//go:embed images/install-postgres.sh
	installPostgres []byte
	//go:embed images/postgres.sh
	postgresEntrypoint []byte
	//go:embed images/sdk-caches.sh
	compileSDK []byte
)

// pauseImage is what the kubelet runs to hold a pod's namespaces.
const pauseImage = "pause:3.10"

func (l *lab) buildImages(ctx context.Context) (changed bool, err error) {
	trusted, err := os.ReadFile("/etc/ssl/certs/ca-certificates.crt")
	if err != nil {
		return false, fmt.Errorf("cannot read this machine's certificates: %v; install them with `apt-get install --reinstall ca-certificates`", err)
	}
	goSettings, err := goProxySettings(ctx)
	if err != nil {
		return false, err
	}
	if err := clearWork(); err != nil {
		return false, err
	}
	b := &builder{ctx: ctx}

	// This machine may reach its registries through a certificate of its own,
	// which the programs in its containers then have to know too.
	trust := b.layer("certificates", digest(trusted), func(l layerWriter) error {
		return l.file("etc/ssl/certs/ca-certificates.crt", 0o644, trusted)
	})
	sources, err := aptSources()
	if err != nil {
		return false, err
	}
	base := b.layer("debian", "2 "+digest(sources), func(l layerWriter) error { return b.debian(l, sources) })
	golang := b.layer("golang", "1 "+runtime.Version()+" "+l.goroot, func(w layerWriter) error { return goToolchain(w, l.goroot) })
	server := b.layer("postgres", "1 "+base.Digest, func(w layerWriter) error { return b.postgres(w, base) })
	entrypoint := b.layer("postgres-entrypoint", digest(postgresEntrypoint), func(l layerWriter) error {
		return l.file("usr/local/bin/docker-entrypoint.sh", 0o755, postgresEntrypoint)
	})
	pause := b.program("pause", "pause")
	codegen := b.program("codegen", "usr/local/bin/codegen")

	debianEnv := []string{"PATH=" + debianPath}
	goEnv := append([]string{"PATH=/go/bin:/usr/local/go/bin:" + debianPath, "GOPATH=/go", "GOTOOLCHAIN=local"}, goSettings...)
	l.images = []image{
		b.image("library/debian:bookworm-slim", runConfig{Env: debianEnv, Cmd: []string{"bash"}}, base, trust),
		b.image("library/golang:1.26", runConfig{Env: goEnv, Cmd: []string{"bash"}, WorkingDir: "/go"}, base, trust, golang),
		b.image("library/postgres:15", runConfig{
			Env: []string{
				"PATH=" + debianPath + ":/usr/lib/postgresql/15/bin",
				"LANG=C.UTF-8", "PG_MAJOR=15", "PGDATA=/var/lib/postgresql/data",
			},
			Entrypoint:   []string{"docker-entrypoint.sh"},
			Cmd:          []string{"postgres"},
			StopSignal:   "SIGINT", // ends sessions; SIGTERM would wait for them
			ExposedPorts: map[string]struct{}{"5432/tcp": {}},
			Volumes:      map[string]struct{}{"/var/lib/postgresql/data": {}},
		}, base, trust, server, entrypoint),
		b.image(pauseImage, runConfig{Entrypoint: []string{"/pause"}}, pause),
	}
	caches := b.layer("sdk-caches", fmt.Sprint("1 ", daggerVersion, digest(compileSDK), base.Digest, golang.Digest), func(w layerWriter) error {
		return b.sdkCaches(w, goEnv, base, trust, golang)
	})
	sdk := b.image("", runConfig{Env: goEnv, WorkingDir: "/go"}, base, trust, golang, caches, codegen)
	if b.err != nil {
		return b.changed, b.err
	}
	l.sdk = sdk.manifest.Digest
	return b.changed, contentStore.hold(sdk, imageStore)
}

// A builder builds layers and images until one of them fails.
type builder struct {
	ctx     context.Context
	changed bool
	err     error
}

func (b *builder) layer(name, ingredients string, write func(layerWriter) error) descriptor {
	if b.err != nil {
		return descriptor{}
	}
	d, built, err := imageStore.layer(name, ingredients, func(w io.Writer) error { return writeLayer(w, write) })
	b.changed, b.err = b.changed || built, err
	return d
}

// program makes a layer of one of the lab's compiled programs.
func (b *builder) program(name, target string) descriptor {
	data, err := os.ReadFile(in("bin", name))
	if err != nil && b.err == nil {
		b.err = err
	}
	return b.layer(name, fmt.Sprint(target, digest(data)), func(l layerWriter) error {
		return l.file(target, 0o755, data)
	})
}

func (b *builder) image(name string, config runConfig, layers ...descriptor) image {
	if b.err != nil {
		return image{}
	}
	i, err := imageStore.image(name, config, layers...)
	b.err = err
	return i
}

// debianSources is where Debian's own package sources stand since bookworm; older
// machines have them in the file beside it.
var debianSources = []string{"etc/apt/sources.list.d/debian.sources", "etc/apt/sources.list"}

// aptSources returns this machine's Debian sources: what it reaches, its images
// reach too.
func aptSources() ([]byte, error) {
	for _, path := range debianSources {
		if data, err := os.ReadFile("/" + path); err == nil && len(bytes.TrimSpace(data)) > 0 {
			return data, nil
		}
	}
	return nil, fmt.Errorf("this machine has no Debian sources in %s; write them as on any Debian 12", strings.Join(debianSources, " or "))
}

// debian writes the smallest Debian that has git and certificates.
func (b *builder) debian(l layerWriter, sources []byte) error {
	root, err := workFolder("debian")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	cmd := exec.CommandContext(b.ctx, "debootstrap", "--variant=minbase", "--include=ca-certificates,git", "bookworm", root)
	ownMounts(cmd)
	if err := command(b.ctx, "debootstrap", cmd); err != nil {
		return err
	}
	target := "etc/apt/sources.list"
	if bytes.Contains(sources, []byte("URIs:")) {
		target = "etc/apt/sources.list.d/debian.sources"
		if err := os.Remove(filepath.Join(root, "etc/apt/sources.list")); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(root, target), sources, 0o644); err != nil {
		return err
	}
	return l.tree(root, "", skipBelow("dev", "proc", "run", "sys", "tmp"))
}

// postgres writes what installing Debian's package adds to the base layer.
func (b *builder) postgres(l layerWriter, base descriptor) error {
	env := append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8")
	work, err := b.inImage("postgres-package", installPostgres, env, imageStore.blob(base.Digest))
	defer os.RemoveAll(work)
	if err != nil {
		return err
	}
	return l.tree(filepath.Join(work, "upper"), "", skipBelow("dev", "proc", "sys", "tmp"))
}

// sdkCaches writes what Go keeps of compiling Dagger's SDK in an image of the
// given layers.
func (b *builder) sdkCaches(l layerWriter, env []string, layers ...descriptor) error {
	args := []string{daggerVersion}
	for _, layer := range layers {
		args = append(args, imageStore.blob(layer.Digest))
	}
	work, err := b.inImage("sdk-caches", compileSDK, append([]string{"HOME=/root"}, env...), args...)
	defer os.RemoveAll(work)
	if err != nil {
		return err
	}
	for _, folder := range []string{"go/pkg", "root/.cache"} {
		if err := l.dir(folder, 0o755); err != nil {
			return err
		}
		if err := l.tree(filepath.Join(work, "upper", folder), folder, nil); err != nil {
			return err
		}
	}
	return nil
}

// inImage runs a script in an empty folder and a mount namespace of its own, and
// returns the folder, which is to be removed by the caller also after an error.
func (b *builder) inImage(name string, script []byte, env []string, args ...string) (string, error) {
	work, err := workFolder(name)
	if err != nil {
		return work, err
	}
	if err := os.WriteFile(filepath.Join(work, "script.sh"), script, 0o644); err != nil {
		return work, err
	}
	cmd := exec.CommandContext(b.ctx, "sh", append([]string{"script.sh"}, args...)...)
	cmd.Dir, cmd.Env = work, env
	ownMounts(cmd)
	return work, command(b.ctx, name, cmd)
}

func goToolchain(l layerWriter, goroot string) error {
	if err := l.tree(goroot, "usr/local/go", skipBelow("test")); err != nil {
		return err
	}
	for _, name := range []string{"go", "go/bin", "go/src"} {
		if err := l.dir(name, 0o1777); err != nil {
			return err
		}
	}
	return nil
}

// skipBelow leaves out what is in the named folders, and what no image needs:
// package archives, lists, manuals, and this machine's resolver.
func skipBelow(folders ...string) func(string) bool {
	folders = append(folders, "var/cache/apt", "var/cache/debconf", "var/lib/apt/lists", "var/log",
		"usr/share/doc", "usr/share/info", "usr/share/locale", "usr/share/man")
	return func(name string) bool {
		return name == "etc/resolv.conf" || name == "etc/hostname" ||
			slices.ContainsFunc(folders, func(f string) bool { return strings.HasPrefix(name, f+"/") })
	}
}

// workFolder makes a folder to build in. One that a killed build left is cleared
// by the next, so that nothing half-made is ever used.
func workFolder(name string) (string, error) {
	if err := os.MkdirAll(in("images", "work"), 0o755); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(in("images", "work"), name+"-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}

func clearWork() error {
	stale, _ := filepath.Glob(filepath.Join(imageStore.blobs(), ".new-*"))
	for _, path := range append(stale, in("images", "work")) {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

// hold makes an image of another store the only one of this store.
func (s store) hold(i image, from store) error {
	if err := os.MkdirAll(s.blobs(), 0o755); err != nil {
		return err
	}
	all, err := os.ReadDir(s.blobs())
	if err != nil {
		return err
	}
	old := map[string]bool{}
	for _, entry := range all {
		old[filepath.Join(s.blobs(), entry.Name())] = true
	}
	for _, d := range append(i.blobs, i.manifest) {
		to := s.blob(d.Digest)
		delete(old, to)
		if exists(to) {
			continue
		}
		if err := os.Link(from.blob(d.Digest), to); err != nil {
			return err
		}
	}
	for path := range old {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// goProxySettings returns how this machine's Go reaches modules, where that is
// not Go's default: the Go in its containers has to reach them the same way.
func goProxySettings(ctx context.Context) (settings []string, err error) {
	answer, err := goAnswer(ctx, "env", "-changed", "-json")
	if err != nil {
		return nil, err
	}
	var changed map[string]string
	if err := json.Unmarshal([]byte(answer), &changed); err != nil {
		return nil, err
	}
	for _, name := range []string{"GOINSECURE", "GONOPROXY", "GONOSUMDB", "GOPRIVATE", "GOPROXY", "GOSUMDB"} {
		if value, ok := changed[name]; ok {
			settings = append(settings, name+"="+value)
		}
	}
	return settings, nil
}

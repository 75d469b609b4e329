package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

const (
	kubernetesVersion = "v1.37.2"
	daggerVersion     = "v0.18.12"
)

// A tool is a module beside this program that only names what to compile, and
// pins it by its go.sum.
type tool struct {
	title    string
	dir      string            // below the folder of this program
	binaries map[string]string // name in the lab's bin: package
	versions []string          // what the linker writes into them
	inlined  bool              // its speed matters more than that of its compilation
	links    []string          // more names of the one binary
}

var tools = []tool{
	{
		title:    "Kubernetes " + kubernetesVersion,
		dir:      "kubernetes",
		binaries: map[string]string{"kubernetes": "."},
		versions: []string{
			"k8s.io/component-base/version.gitVersion=" + kubernetesVersion,
			"k8s.io/component-base/version.gitMajor=1",
			"k8s.io/component-base/version.gitMinor=37",
		},
		links: []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"},
	},
	{
		title:   "Dagger " + daggerVersion,
		dir:     "dagger",
		inlined: true, // it compresses layers
		binaries: map[string]string{
			"dagger-engine": "github.com/dagger/dagger/cmd/engine",
			"dagger":        "github.com/dagger/dagger/cmd/dagger",
			"codegen":       "github.com/dagger/dagger/cmd/codegen",
			"dagger-init":   "github.com/dagger/dagger/cmd/init",
			"dnsname":       "github.com/dagger/dagger/cmd/dnsname",
		},
		versions: []string{
			"github.com/dagger/dagger/engine.Version=" + daggerVersion,
			"github.com/dagger/dagger/engine.Tag=" + daggerVersion,
		},
	},
	{title: "CoreDNS", dir: "coredns", binaries: map[string]string{"coredns": "."}},
	{title: "targets", dir: "targets", binaries: map[string]string{"targets": "."}},
	{title: "pause", dir: "pause", binaries: map[string]string{"pause": "."}},
}

// compile builds the tools, two at a time.
func (l *lab) compile(ctx context.Context) (changed bool, err error) {
	if l.source, err = goAnswer(ctx, "list", "-m", "-f", "{{.Dir}}", "cutover.dev/lab"); err != nil {
		return false, fmt.Errorf("cannot find the lab's own source: %v; run it from the folder of the repository", err)
	}
	if l.goroot, err = goAnswer(ctx, "env", "GOROOT"); err != nil {
		return false, err
	}
	type result struct {
		changed bool
		err     error
	}
	results := make(chan result)
	turns := make(chan struct{}, 2)
	for _, t := range tools {
		go func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			changed, err := t.compile(ctx, filepath.Join(l.source, t.dir))
			results <- result{changed, err}
		}()
	}
	var failed []error
	for range tools {
		r := <-results
		changed = changed || r.changed
		failed = append(failed, r.err)
	}
	return changed, errors.Join(failed...)
}

func (t tool) compile(ctx context.Context, dir string) (changed bool, err error) {
	stamp, err := t.stamp(dir)
	if err != nil {
		return false, err
	}
	stampFile := in("bin", ".built", t.dir)
	if old, err := os.ReadFile(stampFile); err == nil && string(old) == stamp && t.whole() {
		return false, nil
	}
	busy("compiling " + t.title)
	began := time.Now()
	flags := "-s -w"
	for _, v := range t.versions {
		flags += " -X " + v
	}
	for name, pkg := range t.binaries {
		// A program that runs cannot be written to, but its name can be given
		// to another file.
		temp := in("bin", ".new-"+name)
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", t.compilerFlags(), "-ldflags", flags, "-o", temp, pkg)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
		if err := command(ctx, "compile-"+name, cmd); err != nil {
			return false, err
		}
		if err := os.Rename(temp, in("bin", name)); err != nil {
			return false, err
		}
		for _, link := range t.links {
			_ = os.Remove(in("bin", link))
			if err := os.Symlink(name, in("bin", link)); err != nil {
				return false, err
			}
		}
	}
	if err := writeFile(stampFile, []byte(stamp), 0o644); err != nil {
		return false, err
	}
	ok(t.title+" is compiled", true, time.Since(began))
	return true, nil
}

// compilerFlags leave out what a lab does not need: on two cores client-go
// compiles in 58 s, without debug information in 52 s, and without inlining as
// well in 39 s.
func (t tool) compilerFlags() string {
	if t.inlined {
		return "-gcflags=all=-dwarf=false"
	}
	return "-gcflags=all=-dwarf=false -l"
}

// stamp says what a build is made of: the module's files, which pin all the
// rest, the versions, and the compiler.
func (t tool) stamp(dir string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOARCH, t.compilerFlags(), t.versions, t.links, t.binaries)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if ext := filepath.Ext(path); ext != ".go" && ext != ".mod" && ext != ".sum" {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		fmt.Fprintf(h, "%q %d\n", rel, len(data))
		h.Write(data)
		return nil
	})
	return hex.EncodeToString(h.Sum(nil)), err
}

// whole says whether all that the build makes is there.
func (t tool) whole() bool {
	for name := range t.binaries {
		if !exists(in("bin", name)) {
			return false
		}
	}
	for _, link := range t.links {
		if !exists(in("bin", link)) {
			return false
		}
	}
	return true
}

// goAnswer asks the go command.
func goAnswer(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = errors.New(strings.TrimSpace(string(exit.Stderr)))
		}
		return "", fmt.Errorf("`go %s` failed: %v", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

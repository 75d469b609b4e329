package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"dagger/cutover/internal/dagger"
)

// settings is the part of the configuration that a build needs, as
// `cutover config --format=json` prints it.
type settings struct {
	Image struct {
		Repository string `json:"repository"`
		Build      struct {
			Context    string            `json:"context"`
			Dockerfile string            `json:"dockerfile"`
			Target     string            `json:"target"`
			Args       map[string]string `json:"args"`
		} `json:"build"`
	} `json:"image"`
	Migrations *struct {
		Dir   string `json:"dir"`
		Image string `json:"image"`
	} `json:"migrations"`
	Smoke *struct {
		Package string   `json:"package"`
		Image   string   `json:"image"`
		Command []string `json:"command"`
	} `json:"smoke"`
	Test *struct {
		Image   string   `json:"image"`
		Dir     string   `json:"dir"`
		Command []string `json:"command"`
	} `json:"test"`
}

// settings reads the configuration of an environment by the program, which is
// the only one that parses it.
func (m *Cutover) settings(ctx context.Context, env string) (s settings, err error) {
	out, err := run(ctx, m.configured(m.runner()), m.config(env, "--format=json")...)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal([]byte(out), &s)
}

func (m *Cutover) config(env string, more ...string) []string {
	args := []string{"config", "--env=" + env}
	if m.Repository != "" {
		args = append(args, "--repository="+m.Repository)
	}
	return append(args, more...)
}

// Build the application's image from its Dockerfile.
func (m *Cutover) Build(
	ctx context.Context,
	// Environment: the name of a file in envs/, such as dev.
	//
	// +optional
	env string,
	// What the application answers as its version. Default: from git.
	//
	// +optional
	version string,
	// Build arguments as NAME=value, beside those of envs/NAME.yaml.
	//
	// +optional
	buildArg []string,
) (*dagger.Container, error) {
	s, err := m.settings(ctx, env)
	if err != nil {
		return nil, err
	}
	id, err := m.identify(ctx, version)
	if err != nil {
		return nil, err
	}
	return m.image(s, id, buildArg)
}

func (m *Cutover) image(s settings, id identity, buildArgs []string) (*dagger.Container, error) {
	b := s.Image.Build
	args := []dagger.BuildArg{{Name: "VERSION", Value: id.Version}}
	for _, name := range slices.Sorted(maps.Keys(b.Args)) { // in one order, so that equal builds are one
		args = append(args, dagger.BuildArg{Name: name, Value: b.Args[name]})
	}
	for _, pair := range buildArgs {
		name, value, found := strings.Cut(pair, "=")
		if !found {
			return nil, fail(refused, fmt.Sprintf("--build-arg=%s: want NAME=value\n  next: the same command with --build-arg=%s=VALUE", pair, pair))
		}
		args = append(args, dagger.BuildArg{Name: name, Value: value})
	}
	dockerfile := b.Dockerfile
	if b.Context != "." {
		dockerfile = strings.TrimPrefix(dockerfile, b.Context+"/")
	}
	image := m.code().Directory(b.Context).DockerBuild(dagger.DirectoryDockerBuildOpts{
		Dockerfile: dockerfile, Target: b.Target, BuildArgs: args,
	})
	return id.label(image), nil
}

// code is the source without git's own files, so that a commit that changes no
// file rebuilds nothing.
func (m *Cutover) code() *dagger.Directory { return m.Source.WithoutDirectory(".git") }

// Run the tests that envs/NAME.yaml names under `test`.
func (m *Cutover) Test(
	ctx context.Context,
	// Environment: the name of a file in envs/, such as dev.
	//
	// +optional
	env string,
) (string, error) {
	s, err := m.settings(ctx, env)
	if err != nil {
		return "", err
	}
	if s.Test == nil {
		return "no tests are configured: see `test` in envs/" + env + ".yaml\n", nil
	}
	out, err := m.test(ctx, s)
	if err != nil {
		return "", err
	}
	return out + "tests passed: " + strings.Join(s.Test.Command, " ") + "\n", nil
}

func (m *Cutover) test(ctx context.Context, s settings) (string, error) {
	if s.Test == nil {
		return "", nil
	}
	done, err := dag.Container().From(s.Test.Image).
		WithMountedCache("/go/pkg/mod", dag.CacheVolume("cutover-test-go-mod")).
		WithMountedCache("/root/.cache/go-build", dag.CacheVolume("cutover-test-go-build")).
		WithDirectory("/src", m.code()).
		WithWorkdir("/src/"+s.Test.Dir).
		WithExec(s.Test.Command, dagger.ContainerWithExecOpts{Expect: dagger.ReturnTypeAny}).Sync(ctx)
	if err != nil {
		return "", fail(failed, "the tests could not be run: "+err.Error())
	}
	out, errs, code, err := ended(ctx, done)
	if err != nil || code == 0 {
		return out, err
	}
	return "", fail(refused, fmt.Sprintf("%s%sthe tests failed with exit code %d: %s\n  now:  nothing was changed\n  next: correct the code, then the same command again",
		out, errs, code, strings.Join(s.Test.Command, " ")))
}

package main

import (
	"context"
	"fmt"

	"dagger/cutover/internal/dagger"
)

// Run the smoke tests that envs/NAME.yaml names against any address, from here.
//
// +cache="never"
func (m *Cutover) Smoke(
	ctx context.Context,
	// Environment: the name of a file in envs/, such as dev.
	//
	// +optional
	env string,
	// Where the application is, such as https://notes.example.com; it becomes
	// BASE_URL.
	url string,
	// The version that has to answer. Default: any.
	//
	// +optional
	version string,
) (string, error) {
	s, err := m.settings(ctx, env)
	if err != nil {
		return "", err
	}
	if s.Smoke == nil {
		return "no smoke tests are configured: see `smoke` in envs/" + env + ".yaml\n", nil
	}
	suite, command := dag.Container().From(s.Smoke.Image), s.Smoke.Command
	if s.Smoke.Package != "" {
		suite = dag.Container().From(goImage).WithDirectory("/smoke", m.smokeTests(s.Smoke.Package)).WithWorkdir("/smoke")
		command = []string{"/smoke/smoke.test", "-test.v"}
	}
	done, err := acts(suite).WithEnvVariable("BASE_URL", url).WithEnvVariable("EXPECT_VERSION", version).
		WithExec(command, dagger.ContainerWithExecOpts{Expect: dagger.ReturnTypeAny, UseEntrypoint: len(command) == 0}).Sync(ctx)
	if err != nil {
		return "", fail(failed, "the smoke tests could not be run: "+err.Error()+"\n  now:  nothing was changed\n  next: the same command again")
	}
	out, errs, code, err := ended(ctx, done)
	if err != nil || code == 0 {
		return out, err
	}
	return "", fail(refused, fmt.Sprintf("%s%sthe smoke tests failed against %s with exit code %d\n  now:  nothing was changed\n  next: dagger call status --env=%s", out, errs, url, code, env))
}

// smokeTests returns a folder with the compiled tests of a package, as smoke.test,
// and the files they read.
func (m *Cutover) smokeTests(pkg string) *dagger.Directory {
	source := m.code()
	build := dag.Container().From(goImage).
		WithEnvVariable("CGO_ENABLED", "0").
		WithMountedCache("/go/pkg/mod", dag.CacheVolume("cutover-go-mod")).
		WithMountedCache("/root/.cache/go-build", dag.CacheVolume("cutover-go-build")).
		WithDirectory("/src", source, dagger.ContainerWithDirectoryOpts{Include: []string{"go.mod", "go.sum", "**/*.go", "**/testdata/**"}}).
		WithWorkdir("/src").
		WithExec([]string{"go", "test", "-c", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", "/out/smoke.test", pkg})
	return dag.Directory().
		WithDirectory("/", source.Directory(pkg), dagger.DirectoryWithDirectoryOpts{Include: []string{"testdata/**"}}).
		WithFile("smoke.test", build.File("/out/smoke.test"))
}

package main

import (
	"dagger/cutover/internal/dagger"
)

// goImage builds the program. Its Go version is the one in go.mod.
const goImage = "golang:1.26"

// runner returns a container with the program /cutover and the certificates of
// the usual authorities, and nothing else: no shell, no other program.
func (m *Cutover) runner() *dagger.Container {
	build := dag.Container().From(goImage).
		WithEnvVariable("CGO_ENABLED", "0").
		WithMountedCache("/go/pkg/mod", dag.CacheVolume("cutover-go-mod")).
		WithMountedCache("/root/.cache/go-build", dag.CacheVolume("cutover-go-build")).
		WithDirectory("/src", m.Program).
		WithWorkdir("/src").
		WithExec([]string{"go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", "/out/cutover", "./ci/cmd/cutover"})
	return dag.Container().
		WithFile("/cutover", build.File("/out/cutover")).
		WithFile("/etc/ssl/certs/ca-certificates.crt", build.File("/etc/ssl/certs/ca-certificates.crt")).
		WithEntrypoint([]string{"/cutover"}).
		WithUser("65532:65532")
}

// configured gives a container of the program the repository's configuration.
func (m *Cutover) configured(ctr *dagger.Container) *dagger.Container {
	return ctr.WithDirectory("/app/envs", m.Source.Directory("envs")).WithWorkdir("/app")
}

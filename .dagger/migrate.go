package main

import (
	"context"
	"strings"

	"dagger/cutover/internal/dagger"
)

// Migrations looks at the database of an environment, and takes from it what only
// older releases use.
type Migrations struct {
	// +private
	Module *Cutover
}

// Look at the database, or take from it what only older releases use.
func (m *Cutover) Migrate() *Migrations { return &Migrations{Module: m} }

// Read the migrations and say what would break the version that serves, hold up its
// users, or be lost. Needs no cluster and no database.
//
// +cache="never"
func (m *Migrations) Lint(
	ctx context.Context,
	// Environment: the name of a file in envs/, such as dev.
	//
	// +optional
	env string,
	// text or json.
	//
	// +optional
	// +default="text"
	format string,
) (string, error) {
	ctr, s, err := m.files(ctx, env)
	if err != nil {
		return "", err
	}
	return run(ctx, ctr, "migrate", "lint", "--dir="+s.Migrations.Dir, "--format="+format)
}

// Play all migrations up, down and up again on a PostgreSQL of its own, which is thrown
// away. Tells the locks that each statement takes, and what a way back leaves behind.
// Needs no cluster.
//
// +cache="never"
func (m *Migrations) Rehearse(
	ctx context.Context,
	// Environment: the name of a file in envs/, such as dev.
	//
	// +optional
	env string,
	// text or json.
	//
	// +optional
	// +default="text"
	format string,
) (string, error) {
	ctr, s, err := m.files(ctx, env)
	if err != nil {
		return "", err
	}
	// Of a server that only this container reaches, for a minute; another one for each
	// call.
	const password = "rehearsal"
	server := acts(dag.Container().From(s.Migrations.Image)).
		WithEnvVariable("POSTGRES_PASSWORD", password).
		WithEnvVariable("POSTGRES_DB", "rehearsal").
		WithExposedPort(5432).
		AsService(dagger.ContainerAsServiceOpts{UseEntrypoint: true})
	ctr = ctr.WithServiceBinding("postgres", server).
		WithEnvVariable("REHEARSAL_URL", "postgres://postgres:"+password+"@postgres:5432/rehearsal?sslmode=disable")
	return run(ctx, acts(ctr), "migrate", "rehearse", "--dir="+s.Migrations.Dir, "--format="+format)
}

// files returns a container of the program with the environment's migrations.
func (m *Migrations) files(ctx context.Context, env string) (*dagger.Container, settings, error) {
	s, err := m.Module.settings(ctx, env)
	if err != nil {
		return nil, s, err
	}
	if s.Migrations == nil {
		return nil, s, fail(refused, "no migrations are configured in envs/"+env+".yaml\n  now:  nothing was changed\n  next: see `migrations` in the README")
	}
	dir := s.Migrations.Dir
	return m.Module.runner().WithDirectory("/app/"+dir, m.Module.Source.Directory(dir)).WithWorkdir("/app"), s, nil
}

// Say which migrations are applied, pending, deferred, or not as they were. Pushes
// the bundle, whose pod looks; changes nothing in the database.
//
// +cache="never"
func (m *Migrations) Status(
	ctx context.Context,
	// Environment: the name of a file in envs/, such as dev.
	//
	// +optional
	env string,
	// Kubeconfig whose current context leads to the cluster, such as
	// file://$HOME/.kube/config.
	//
	// +optional
	kubeconfig *dagger.Secret,
	// The environment's secrets, as for deploy.
	//
	// +optional
	secrets *dagger.Secret,
	// text or json.
	//
	// +optional
	// +default="text"
	format string,
) (string, error) {
	if err := readable(ctx, kubeconfig, secrets); err != nil {
		return "", err
	}
	p, err := m.Module.publishBundle(ctx, env)
	if err != nil {
		return "", err
	}
	ctr := m.Module.reach(p.bundle, kubeconfig)
	args := append([]string{"migrate"}, append(m.Module.in("status", env), "--version="+p.Version, "--bundle="+p.Bundle, "--format="+format)...)
	ctr, args = given(ctr, args, secrets)
	return run(ctx, acts(ctr), args...)
}

// Apply contract migrations of the release that serves. There is no way back behind
// them; releases that lack them are no targets for a rollback any more.
//
// +cache="never"
func (m *Migrations) Contract(
	ctx context.Context,
	// Environment: the name of a file in envs/, such as dev.
	//
	// +optional
	env string,
	// Kubeconfig whose current context leads to the cluster, such as
	// file://$HOME/.kube/config.
	//
	// +optional
	kubeconfig *dagger.Secret,
	// The versions to apply, such as 7,9. Without them those that wait are named.
	//
	// +optional
	versions []string,
	// Who does it and from where, as the record and the lock say it.
	//
	// +optional
	// +default="dagger"
	by string,
	// text, json, or of a run junit.
	//
	// +optional
	// +default="text"
	format string,
) (string, error) {
	if err := readable(ctx, kubeconfig, nil); err != nil {
		return "", err
	}
	ctr := m.Module.reach(m.Module.runner(), kubeconfig)
	args := append([]string{"migrate"}, append(m.Module.in("contract", env), "--format="+format, "--by="+by)...)
	if len(versions) > 0 {
		args = append(args, "--versions="+strings.Join(versions, ","))
	}
	return run(ctx, acts(ctr), args...)
}

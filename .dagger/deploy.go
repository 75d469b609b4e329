package main

import (
	"context"

	"dagger/cutover/internal/dagger"
)

// Say what a deploy would do. Builds and pushes, since a plan names digests; in the
// cluster one pod looks for some seconds, and nothing is changed.
//
// +cache="never"
func (m *Cutover) Plan(
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
	// The environment's secrets as NAME=value lines, such as file://dev.secrets.env,
	// vault://… or cmd://"sops -d envs/dev.secrets.env".
	//
	// +optional
	secrets *dagger.Secret,
	// What the application answers as its version. Default: from git.
	//
	// +optional
	version string,
	// Build arguments as NAME=value, beside those of envs/NAME.yaml.
	//
	// +optional
	buildArg []string,
	// A ready image by digest, instead of building one. Needs --version.
	//
	// +optional
	image string,
	// Why an older commit may replace a newer one.
	//
	// +optional
	allowOlder string,
	// Why the Service is cutover's again, after another program wrote its selector.
	//
	// +optional
	adopt string,
	// Why to deploy though what serves is not well.
	//
	// +optional
	liveIsBroken string,
	// Why a schema that was changed by hand is right as it is.
	//
	// +optional
	acceptDrift string,
	// text or json.
	//
	// +optional
	// +default="text"
	format string,
) (string, error) {
	return m.offer(ctx, "plan", env, kubeconfig, secrets, version, buildArg, image,
		"--format="+format, "--allow-older="+allowOlder, "--adopt="+adopt, "--live-is-broken="+liveIsBroken, "--accept-drift="+acceptDrift)
}

// Take the application to the cluster, blue-green, and back when a step fails.
//
// +cache="never"
func (m *Cutover) Deploy(
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
	// The environment's secrets as NAME=value lines, such as file://dev.secrets.env,
	// vault://… or cmd://"sops -d envs/dev.secrets.env".
	//
	// +optional
	secrets *dagger.Secret,
	// What the application answers as its version. Default: from git.
	//
	// +optional
	version string,
	// Build arguments as NAME=value, beside those of envs/NAME.yaml.
	//
	// +optional
	buildArg []string,
	// A ready image by digest, instead of building one. Needs --version.
	//
	// +optional
	image string,
	// Why an older commit may replace a newer one.
	//
	// +optional
	allowOlder string,
	// Why the Service is cutover's again, after another program wrote its selector.
	//
	// +optional
	adopt string,
	// Why to deploy though what serves is not well.
	//
	// +optional
	liveIsBroken string,
	// Why a schema that was changed by hand is right as it is.
	//
	// +optional
	acceptDrift string,
	// Your own name for this run, such as a CI job's number. It is only recorded:
	// the same name twice deploys twice.
	//
	// +optional
	runId string,
	// Who deploys and from where, as the record and the lock say it.
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
	return m.offer(ctx, "deploy", env, kubeconfig, secrets, version, buildArg, image,
		"--format="+format, "--allow-older="+allowOlder, "--adopt="+adopt, "--live-is-broken="+liveIsBroken, "--accept-drift="+acceptDrift, "--run-id="+runId, "--by="+by)
}

// offer publishes the release and hands it to the program, inside its own bundle.
func (m *Cutover) offer(ctx context.Context, command, env string, kubeconfig, secrets *dagger.Secret,
	version string, buildArgs []string, image string, more ...string,
) (string, error) {
	if err := readable(ctx, kubeconfig, secrets); err != nil {
		return "", err
	}
	p, err := m.publish(ctx, env, version, buildArgs, image)
	if err != nil {
		return "", err
	}
	ctr := m.reach(p.bundle, kubeconfig)
	args := append(m.in(command, env), "--version="+p.Version, "--image="+p.Image, "--bundle="+p.Bundle, "--commit="+p.Commit, "--committed="+p.Committed)
	if p.ancestry != nil {
		ctr = ctr.WithMountedFile("/run/ancestry", p.ancestry)
		args = append(args, "--ancestry=/run/ancestry")
	}
	ctr, args = given(ctr, args, secrets)
	return run(ctx, acts(ctr), append(args, more...)...)
}

// given hands the environment's secrets to the program, if there are any.
func given(ctr *dagger.Container, args []string, secrets *dagger.Secret) (*dagger.Container, []string) {
	if secrets == nil {
		return ctr, args
	}
	return ctr.WithMountedSecret("/run/secrets/app.env", secrets, mount), append(args, "--secrets=/run/secrets/app.env")
}

// Check the configuration of an environment and print it with every default
// filled in. Needs no cluster.
func (m *Cutover) Check(
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
	return run(ctx, m.configured(m.runner()), m.config(env, "--format="+format)...)
}

// mount makes a mounted secret readable for the runner's user and nobody else.
var mount = dagger.ContainerWithMountedSecretOpts{Owner: "65532:65532", Mode: 0o400}

// reach gives a container the configuration and the way to the cluster.
func (m *Cutover) reach(ctr *dagger.Container, kubeconfig *dagger.Secret) *dagger.Container {
	return m.configured(ctr).WithMountedSecret("/run/secrets/kubeconfig", kubeconfig, mount)
}

// in returns a command's arguments for an environment.
func (m *Cutover) in(command, env string) []string {
	args := m.config(env)
	args[0] = command
	return append(args, "--kubeconfig=/run/secrets/kubeconfig")
}

// readable refuses a kubeconfig that is missing, and secrets that cannot be
// read, before anything is built.
func readable(ctx context.Context, kubeconfig, secrets *dagger.Secret) error {
	if kubeconfig == nil {
		return fail(refused, "no kubeconfig was given\n  now:  nothing was changed\n  next: the same command with --kubeconfig=file://$HOME/.kube/config")
	}
	if _, err := kubeconfig.Plaintext(ctx); err != nil {
		return fail(refused, "the kubeconfig cannot be read: "+err.Error()+"\n  now:  nothing was changed\n  next: the same command with --kubeconfig=file://$HOME/.kube/config")
	}
	if secrets == nil {
		return nil
	}
	if _, err := secrets.Plaintext(ctx); err != nil {
		return fail(refused, "the secrets cannot be read: "+err.Error()+"\n  now:  nothing was changed\n  next: the same command with --secrets=file://FILE, NAME=value on each line")
	}
	return nil
}

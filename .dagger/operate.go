package main

import (
	"context"

	"dagger/cutover/internal/dagger"
)

// Say what serves, who is at work and how the last run ended.
//
// +cache="never"
func (m *Cutover) Status(
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
	// text, json, or of a run junit.
	//
	// +optional
	// +default="text"
	format string,
) (string, error) {
	return m.operate(ctx, "status", env, kubeconfig, nil, "--format="+format)
}

// List the runs that are remembered, the newest last.
//
// +cache="never"
func (m *Cutover) History(
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
	// text or json.
	//
	// +optional
	// +default="text"
	format string,
) (string, error) {
	return m.operate(ctx, "history", env, kubeconfig, nil, "--format="+format)
}

// Go on with a run that was interrupted or halted, from its record.
//
// +cache="never"
func (m *Cutover) Resume(
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
	// The environment's secrets, as for deploy; needed only when the run had not yet
	// made its Secret.
	//
	// +optional
	secrets *dagger.Secret,
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
	return m.operate(ctx, "resume", env, kubeconfig, secrets, "--format="+format, "--by="+by)
}

// Bring back what served before, or take back a run that has not finished.
//
// +cache="never"
func (m *Cutover) Rollback(
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
	// The release to bring back, such as r7. Default: the one that served before the
	// present one.
	//
	// +optional
	to string,
	// Which secrets it gets: its own as they were (release), or those of what serves
	// now (current).
	//
	// +optional
	// +default="release"
	secrets string,
	// Why the Service is cutover's again, after another program wrote its selector.
	//
	// +optional
	adopt string,
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
	return m.operate(ctx, "rollback", env, kubeconfig, nil, "--to="+to, "--secrets="+secrets, "--adopt="+adopt, "--format="+format, "--by="+by)
}

// Give up a run that has not finished, when nobody is at work on it.
//
// +cache="never"
func (m *Cutover) Unlock(
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
	// Why the run is given up. Everything stays as it is.
	//
	// +optional
	abandon string,
	// Who does it and from where, as the record and the lock say it.
	//
	// +optional
	// +default="dagger"
	by string,
) (string, error) {
	return m.operate(ctx, "unlock", env, kubeconfig, nil, "--abandon="+abandon, "--by="+by)
}

// operate runs a command of the program that builds nothing.
func (m *Cutover) operate(ctx context.Context, command, env string, kubeconfig, secrets *dagger.Secret, more ...string) (string, error) {
	if err := readable(ctx, kubeconfig, secrets); err != nil {
		return "", err
	}
	ctr, args := given(m.reach(m.runner(), kubeconfig), m.in(command, env), secrets)
	return run(ctx, acts(ctr), append(args, more...)...)
}

// Takes an application to Kubernetes without one lost request.
//
// The repository says how, in envs/NAME.yaml; `dagger call check --env=NAME`
// tells whether it says it well. Then `plan` shows what a deploy would do, and
// `deploy` does it: test, build, publish by digest, migrate, raise the new
// version on the idle colour, verify it from inside the cluster, switch, verify
// again, watch it for a while, retire the old one. A step that fails takes
// everything back; a run that was killed goes on with `resume` or `rollback`.
//
// Exit codes: 0 done, 10 refused or bad input, 12 rolled back and the previous
// version serves, 13 halted and a person has to look, 14 failed before anything
// was changed. Any other code says nothing about the state: ask `status`.
package main

import "dagger/cutover/internal/dagger"

// Cutover deploys the application of one repository.
type Cutover struct {
	// +private
	Source *dagger.Directory
	// +private
	Program *dagger.Directory
	// +private
	Repository string
}

func New(
	// The application's repository: its code and envs/. With .git in it, versions
	// come from git.
	//
	// +defaultPath="/"
	// +ignore=["**/node_modules", "**/.venv", "/build"]
	source *dagger.Directory,

	// cutover's own source, from which the program that does the work is built.
	// There is no need to give it.
	//
	// +defaultPath="."
	// +ignore=["**", "!go.mod", "!go.sum", "!ci/**", "ci/e2e", "**/*_test.go", "**/testdata"]
	program *dagger.Directory,

	// Image repository to push to, instead of image.repository of envs/NAME.yaml.
	//
	// +optional
	repository string,
) *Cutover {
	return &Cutover{Source: source, Program: program, Repository: repository}
}

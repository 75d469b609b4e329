package main

import (
	"context"
	"crypto/rand"
	"strings"

	"dagger/cutover/internal/dagger"

	"github.com/vektah/gqlparser/v2/gqlerror"
)

// refused is cutover's exit code for bad input; failed the one for a machine
// that failed before anything was changed; unknown says nothing about the state.
const (
	refused = 10
	failed  = 14
	unknown = 1
)

// fail returns an error that `dagger call` prints as it is and turns into its
// own exit code. Dagger knows codes only of programs that it ran, so the error
// says of itself that it is one.
func fail(code int, message string) error {
	return &gqlerror.Error{
		Message: strings.TrimSpace(message),
		Extensions: map[string]any{
			"_type": "EXEC_ERROR", "cmd": []string{"cutover"}, "exitCode": code, "stdout": "", "stderr": "",
		},
	}
}

// run carries out the program and returns what it printed. Its failure becomes
// ours, exit code and words.
func run(ctx context.Context, ctr *dagger.Container, args ...string) (string, error) {
	done, err := ctr.WithExec(append([]string{"/cutover"}, args...), dagger.ContainerWithExecOpts{Expect: dagger.ReturnTypeAny}).Sync(ctx)
	if err != nil {
		return "", fail(unknown, "the program did not end by itself: "+err.Error()+"\n  now:  not known\n  next: dagger call status --env=ENV --kubeconfig=file://FILE")
	}
	out, errs, code, err := ended(ctx, done)
	if err != nil || code == 0 {
		return out, err
	}
	return "", fail(code, out+closing(errs))
}

// ended returns what a program that was run to its end printed, and its exit
// code.
func ended(ctx context.Context, done *dagger.Container) (stdout, stderr string, code int, err error) {
	if code, err = done.ExitCode(ctx); err != nil {
		return "", "", 0, err
	}
	if stdout, err = done.Stdout(ctx); err != nil {
		return "", "", 0, err
	}
	stderr, err = done.Stderr(ctx)
	return stdout, stderr, code, err
}

// closing cuts the progress lines, which were shown as they came, off a
// program's standard error: what is left is the error it ended with.
func closing(stderr string) string {
	const mark = "error: "
	if i := strings.LastIndex("\n"+stderr, "\n"+mark); i >= 0 {
		return stderr[i+len(mark):]
	}
	return stderr
}

// acts returns the container with a value that no run before had: whatever looks
// at the world or changes it has to happen each time, and never come from
// Dagger's cache.
func acts(ctr *dagger.Container) *dagger.Container {
	return ctr.WithEnvVariable("CUTOVER_CALL", rand.Text())
}

// Command cutover takes a release of an application to Kubernetes without one
// lost request. It runs in the Dagger container, in the cluster and on a
// developer's machine; `cutover help` lists its commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"cutover.dev/ci/outcome"
	"cutover.dev/ci/redact"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx))
}

func run(ctx context.Context) int {
	secrets := new(redact.Secrets)
	root := root(secrets)
	root.SetOut(secrets.Writer(os.Stdout))
	root.SetErr(secrets.Writer(os.Stderr))
	err := root.ExecuteContext(ctx)
	if err == nil {
		return int(outcome.Done)
	}
	if _, ok := errors.AsType[*outcome.Error](err); !ok && ctx.Err() == nil && usage(err) {
		err = outcome.Refusef("cutover help", "%w", err)
	}
	err = outcome.Fail("dagger call status --env=ENV   (says what is true), then the same command again", err)
	fmt.Fprintln(root.ErrOrStderr(), "error: "+outcome.Explain(err))
	return int(outcome.CodeOf(err))
}

// usageError marks a wrong flag or argument: the caller's, not the world's.
type usageError struct{ error }

func usage(err error) bool {
	_, ok := errors.AsType[usageError](err)
	return ok
}

func root(secrets *redact.Secrets) *cobra.Command {
	cmd := &cobra.Command{
		Use:           "cutover",
		Short:         "Takes an application to Kubernetes without one lost request",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.AddCommand(configCommand(), planCommand(secrets), deployCommand(secrets), resumeCommand(secrets), rollbackCommand(secrets),
		statusCommand(secrets), historyCommand(secrets), unlockCommand(secrets), migrateCommand(secrets), agentCommand(secrets))
	return cmd
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"cutover.dev/ci/migrate"
	"cutover.dev/ci/outcome"
	"cutover.dev/ci/redact"
)

// migrateOptions are the flags of `agent migrate` and `agent migrate status`.
type migrateOptions struct {
	dsnEnv, files string
	timeout       time.Duration
	order         migrate.Order
}

func (o *migrateOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.dsnEnv, "dsn-env", "DATABASE_URL", "environment variable with the connection string")
	f.StringVar(&o.files, "dir", "/migrations", "folder with goose's files")
	f.StringVar(&o.order.Dir, "folder", "", "that folder's name in the repository, for messages")
	f.StringVar(&o.order.Release, "release", "", "the release that this is for")
	f.DurationVar(&o.timeout, "timeout", 10*time.Minute, "limit for the whole migration")
	f.BoolVar(&o.order.AllowOlder, "allow-older", false, "go on although the database has migrations that this older release does not")
	f.BoolVar(&o.order.AcceptDrift, "accept-drift", false, "go on with a schema that was changed by hand")
}

// open completes the order by what is not a flag.
func (o *migrateOptions) open(ctx context.Context, secrets *redact.Secrets) (context.Context, context.CancelFunc, error) {
	o.order.DSN, o.order.Files = os.Getenv(o.dsnEnv), os.DirFS(o.files)
	secrets.Add(o.order.DSN)
	if o.order.DSN == "" {
		return nil, nil, outcome.Refusef("list it under secrets.required", "the environment variable %s, which holds the connection string, is empty", o.dsnEnv)
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	return ctx, cancel, nil
}

func agentMigrateCommand(secrets *redact.Secrets) *cobra.Command {
	var (
		o        migrateOptions
		contract []int64
	)
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Brings the database to the release's schema",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel, err := o.open(cmd.Context(), secrets)
			if err != nil {
				return err
			}
			defer cancel()
			var result migrate.Result
			if len(contract) > 0 {
				result, err = migrate.UpContract(ctx, o.order, contract, cmd.OutOrStdout())
			} else {
				result, err = migrate.Up(ctx, o.order, cmd.OutOrStdout())
			}
			if err != nil && !errors.Is(err, migrate.ErrRefused) {
				result.Error = secrets.Hide(err.Error())
			}
			fmt.Fprintln(cmd.OutOrStdout(), result.Line())
			return err
		},
	}
	o.flags(cmd)
	cmd.Flags().Int64SliceVar(&contract, "contract", nil, "versions of contract migrations to apply, instead of what is pending")
	cmd.AddCommand(agentMigrateStatusCommand(secrets))
	return cmd
}

func agentMigrateStatusCommand(secrets *redact.Secrets) *cobra.Command {
	var o migrateOptions
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Says how the database stands to the release's migrations; changes nothing",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel, err := o.open(cmd.Context(), secrets)
			if err != nil {
				return err
			}
			defer cancel()
			state, err := migrate.Status(ctx, o.order)
			if err != nil {
				state.Error = secrets.Hide(err.Error())
			}
			fmt.Fprintln(cmd.OutOrStdout(), state.Line())
			return err
		},
	}
	o.flags(cmd)
	return cmd
}

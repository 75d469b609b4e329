package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"cutover.dev/ci/migrate"
	"cutover.dev/ci/migrate/lint"
	"cutover.dev/ci/migrate/rehearse"
	"cutover.dev/ci/outcome"
	"cutover.dev/ci/redact"
	"cutover.dev/ci/report"
)

func migrateCommand(secrets *redact.Secrets) *cobra.Command {
	cmd := &cobra.Command{Use: "migrate", Short: "Looks at the database, and takes from it what only older releases use"}
	cmd.AddCommand(migrateLintCommand(), migrateRehearseCommand(secrets), migrateStatusCommand(secrets), migrateContractCommand(secrets))
	return cmd
}

func migrateLintCommand() *cobra.Command {
	var dir, format string
	cmd := &cobra.Command{
		Use:   "lint",
		Short: "Reads migrations and says what would break what serves, hold up its users, or be lost; needs no database",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			parsed, err := migrate.Parse(os.DirFS(dir), dir)
			if err != nil {
				return outcome.Refusef("correct it, then the same command again", "%w", err)
			}
			found, err := lint.Check(os.DirFS(dir), dir, parsed, nil)
			if err != nil {
				return err
			}
			text, err := report.Lint(found, len(parsed), format)
			if err != nil {
				return err
			}
			fmt.Fprint(cmd.OutOrStdout(), text)
			if errs := lint.Errors(found); errs > 0 {
				return outcome.Refusef("as each says; or before the statement: -- deploy:allow RULE reason=\"why it is right here\"",
					"%d of what was found stops a deploy", errs)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "/migrations", "folder with goose's files")
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	return cmd
}

func migrateRehearseCommand(secrets *redact.Secrets) *cobra.Command {
	var (
		dsnEnv, dir, format string
		limit               time.Duration
	)
	cmd := &cobra.Command{
		Use:   "rehearse",
		Short: "Plays migrations up, down and up again, on a database that is thrown away afterwards",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dsn := os.Getenv(dsnEnv)
			secrets.Add(dsn)
			ctx, cancel := context.WithTimeout(cmd.Context(), limit)
			defer cancel()
			played, err := rehearse.Run(ctx, dsn, os.DirFS(dir), dir)
			if err != nil {
				return outcome.Refusef("correct it, then the same command again", "%w", err)
			}
			text, err := report.Rehearsal(played, format)
			if err != nil {
				return err
			}
			fmt.Fprint(cmd.OutOrStdout(), text)
			if n := played.Problems(); n > 0 {
				return outcome.Refusef("correct the way back, or say -- deploy:irreversible", "%d of the files are not as they should be", n)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dsnEnv, "dsn-env", "REHEARSAL_URL", "environment variable with the connection string of the database to play on")
	cmd.Flags().StringVar(&dir, "dir", "/migrations", "folder with goose's files")
	cmd.Flags().DurationVar(&limit, "timeout", 10*time.Minute, "limit for the whole rehearsal")
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	return cmd
}

func migrateStatusCommand(secrets *redact.Secrets) *cobra.Command {
	var o offer
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Says which migrations are applied, pending, deferred or not as they were; changes nothing",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cluster, err := o.open(cmd.Context(), secrets)
			if err != nil {
				return err
			}
			state, err := deployer(cmd, cluster, o.input).MigrateStatus(cmd.Context())
			if err != nil {
				return err
			}
			text, err := report.Migrations(state, o.format)
			if err != nil {
				return err
			}
			fmt.Fprint(cmd.OutOrStdout(), text)
			return nil
		},
	}
	o.flags(cmd)
	return cmd
}

func migrateContractCommand(secrets *redact.Secrets) *cobra.Command {
	var (
		s        site
		versions []int64
	)
	cmd := &cobra.Command{
		Use:   "contract",
		Short: "Applies contract migrations of the release that serves; there is no way back behind them",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := s.deployer(cmd, secrets)
			if err != nil {
				return err
			}
			rec, err := d.Contract(cmd.Context(), versions)
			return ended(cmd, rec, err, s.format)
		},
	}
	s.acts(cmd)
	cmd.Flags().Int64SliceVar(&versions, "versions", nil, "the versions to apply, such as 7,9; without it those that wait are named")
	return cmd
}

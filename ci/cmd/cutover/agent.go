package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cutover.dev/ci/agent"
	"cutover.dev/ci/migrate"
	"cutover.dev/ci/outcome"
	"cutover.dev/ci/redact"
)

// agentCommand is what runs in the cluster, from the bundle.
func agentCommand(secrets *redact.Secrets) *cobra.Command {
	cmd := &cobra.Command{Use: "agent", Short: "What runs inside the cluster, started by a deploy"}
	cmd.AddCommand(agentWatchCommand(), agentMigrateCommand(secrets), agentLoadCommand())
	return cmd
}

func agentWatchCommand() *cobra.Command {
	var targets []string
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Asks the application who it is, over and over, and prints what it sees",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list []agent.Target
			for _, t := range targets {
				name, url, ok := strings.Cut(t, "=")
				if !ok {
					return usageError{fmt.Errorf("--target=%s: want NAME=URL", t)}
				}
				list = append(list, agent.Target{Name: name, URL: url})
			}
			return agent.Watch(cmd.Context(), cmd.OutOrStdout(), list)
		},
	}
	cmd.Flags().StringArrayVar(&targets, "target", nil, "NAME=URL of a version path to ask; may be repeated")
	return cmd
}

func agentMigrateCommand(secrets *redact.Secrets) *cobra.Command {
	var (
		dsnEnv, dir string
		timeout     time.Duration
	)
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Brings the database to the release's schema",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dsn := os.Getenv(dsnEnv)
			secrets.Add(dsn)
			if dsn == "" {
				return outcome.Refusef("list it under secrets.required", "the environment variable %s, which holds the connection string, is empty", dsnEnv)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			result, err := migrate.Up(ctx, dsn, os.DirFS(dir))
			if err != nil {
				result.Error = secrets.Hide(err.Error())
			}
			fmt.Fprintln(cmd.OutOrStdout(), result.Line())
			return err
		},
	}
	cmd.Flags().StringVar(&dsnEnv, "dsn-env", "DATABASE_URL", "environment variable with the connection string")
	cmd.Flags().StringVar(&dir, "dir", "/migrations", "folder with goose's files")
	cmd.Flags().DurationVar(&timeout, "timeout", 10*time.Minute, "limit for the whole migration")
	return cmd
}

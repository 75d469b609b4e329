package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"cutover.dev/ci/config"
	"cutover.dev/ci/kube"
	"cutover.dev/ci/plan"
	"cutover.dev/ci/redact"
	"cutover.dev/ci/report"
	"cutover.dev/ci/rollout"
)

// site is an environment and the way to its cluster.
type site struct {
	source
	kubeconfig string
	format     string
	by         string
}

func (s *site) flags(cmd *cobra.Command) {
	s.source.flags(cmd)
	cmd.Flags().StringVar(&s.kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "kubeconfig file; its current context is used")
	cmd.Flags().StringVar(&s.format, "format", "text", "text, json or (of a run) junit")
}

// acts adds the flag of commands that change something.
func (s *site) acts(cmd *cobra.Command) {
	s.flags(cmd)
	cmd.Flags().StringVar(&s.by, "by", "cutover", "who does it and from where, as the lock and the record say it")
}

func (s *site) open(ctx context.Context, secrets *redact.Secrets) (*kube.Cluster, config.Env, error) {
	env, err := s.load()
	if err != nil {
		return nil, env, err
	}
	cluster, err := connect(ctx, s.kubeconfig, env, secrets)
	return cluster, env, err
}

func (s *site) deployer(cmd *cobra.Command, secrets *redact.Secrets) (*rollout.Deployer, error) {
	cluster, env, err := s.open(cmd.Context(), secrets)
	if err != nil {
		return nil, err
	}
	d := deployer(cmd, cluster, plan.Input{Env: env})
	d.By = s.by
	return d, nil
}

func resumeCommand(secrets *redact.Secrets) *cobra.Command {
	var (
		s           site
		secretsFile string
	)
	cmd := &cobra.Command{
		Use:   "resume",
		Short: "Goes on with a run that was interrupted or halted, from its record",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			values, err := config.Dotenv(secretsFile)
			if err != nil {
				return err
			}
			for _, v := range values {
				secrets.Add(v)
			}
			d, err := s.deployer(cmd, secrets)
			if err != nil {
				return err
			}
			if secretsFile != "" {
				d.Input.Secrets = values
			}
			rec, err := d.Resume(cmd.Context())
			return ended(cmd, rec, err, s.format)
		},
	}
	s.acts(cmd)
	cmd.Flags().StringVar(&secretsFile, "secrets", "", "file with NAME=value lines; needed only when the run had not yet made its Secret")
	return cmd
}

func rollbackCommand(secrets *redact.Secrets) *cobra.Command {
	var (
		s               site
		to, from, adopt string
	)
	cmd := &cobra.Command{
		Use:   "rollback",
		Short: "Brings back what served before, or takes back a run that has not finished",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := s.deployer(cmd, secrets)
			if err != nil {
				return err
			}
			d.Input.Adopt = adopt
			rec, err := d.Rollback(cmd.Context(), to, rollout.SecretsOf(from))
			return ended(cmd, rec, err, s.format)
		},
	}
	s.acts(cmd)
	cmd.Flags().StringVar(&to, "to", "", "the release to bring back, such as r7; default: the one that served before the present one")
	cmd.Flags().StringVar(&adopt, "adopt", "", "why the Service is cutover's again, after another program wrote its selector")
	cmd.Flags().StringVar(&from, "secrets", string(rollout.ThenSecrets), "release (its own, as they were) or current (those of what serves now)")
	return cmd
}

func historyCommand(secrets *redact.Secrets) *cobra.Command {
	var s site
	cmd := &cobra.Command{
		Use:   "history",
		Short: "Lists the runs that are remembered, the newest last",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cluster, _, err := s.open(cmd.Context(), secrets)
			if err != nil {
				return err
			}
			runs, err := cluster.History(cmd.Context())
			if err != nil {
				return err
			}
			text, err := report.History(runs, s.format)
			if err != nil {
				return err
			}
			fmt.Fprint(cmd.OutOrStdout(), text)
			return nil
		},
	}
	s.flags(cmd)
	return cmd
}

func unlockCommand(secrets *redact.Secrets) *cobra.Command {
	var (
		s   site
		why string
	)
	cmd := &cobra.Command{
		Use:   "unlock",
		Short: "Gives up a run that has not finished, when nobody is at work on it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := s.deployer(cmd, secrets)
			if err != nil {
				return err
			}
			rec, err := d.Unlock(cmd.Context(), why)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "run %s is settled as %s: %s\n  serving      %s\n", rec.Run, rec.Outcome, why, report.Serving(rec))
			return nil
		},
	}
	s.acts(cmd)
	cmd.Flags().StringVar(&why, "abandon", "", "why the run is given up; everything stays as it is")
	return cmd
}

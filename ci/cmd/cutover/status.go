package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"cutover.dev/ci/outcome"
	"cutover.dev/ci/redact"
	"cutover.dev/ci/report"
)

func statusCommand(secrets *redact.Secrets) *cobra.Command {
	var s site
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Says what serves, who is at work, and how the last run ended",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cluster, env, err := s.open(cmd.Context(), secrets)
			if err != nil {
				return err
			}
			seen, err := cluster.Observe(cmd.Context())
			if err != nil {
				return outcome.Fail("the same command again", err)
			}
			holder, err := cluster.Holder(cmd.Context())
			if err != nil {
				return outcome.Fail("the same command again", err)
			}
			text, err := report.Status(env, seen, holder, s.format)
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

package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"cutover.dev/ci/outcome"
	"cutover.dev/ci/redact"
	"cutover.dev/ci/report"
)

func statusCommand(secrets *redact.Secrets) *cobra.Command {
	var (
		from       source
		kubeconfig string
		format     string
	)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Says what serves, who is at work, and how the last run ended",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			env, err := from.load()
			if err != nil {
				return err
			}
			cluster, err := connect(cmd.Context(), kubeconfig, env, secrets)
			if err != nil {
				return err
			}
			seen, err := cluster.Observe(cmd.Context())
			if err != nil {
				return outcome.Failf("the same command again", "%w", err)
			}
			holder, err := cluster.Holder(cmd.Context())
			if err != nil {
				return outcome.Failf("the same command again", "%w", err)
			}
			text, err := report.Status(env, seen, holder, format)
			if err != nil {
				return err
			}
			fmt.Fprint(cmd.OutOrStdout(), text)
			return nil
		},
	}
	from.flags(cmd)
	cmd.Flags().StringVar(&kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "kubeconfig file; its current context is used")
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	return cmd
}

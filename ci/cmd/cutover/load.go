package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"cutover.dev/ci/probe"
)

// agentLoadCommand sends a steady load, as users would, and prints every second
// of it as a line of JSON and the whole result as the last line.
func agentLoadCommand() *cobra.Command {
	var (
		c     probe.Config
		write probe.Request
		slow  probe.Request
		limit time.Duration
	)
	cmd := &cobra.Command{
		Use:   "load",
		Short: "Sends a steady load, on fresh and on kept connections, and counts what was lost",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), limit)
			defer cancel()
			enc := json.NewEncoder(cmd.OutOrStdout())
			var broken error
			c.OnSecond = func(s probe.Second) {
				if err := enc.Encode(s); err != nil && broken == nil {
					broken = err
				}
			}
			if write.Path != "" {
				c.Write = &write
			}
			if slow.Path != "" {
				c.Slow = &slow
			}
			result, err := probe.Run(ctx, c)
			if err != nil {
				return usageError{err}
			}
			result.Seconds = nil // each was printed
			if err := enc.Encode(result); err != nil {
				return err
			}
			return broken
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.URL, "url", "", "base URL of the application")
	f.IntVar(&c.Rate, "rate", 20, "requests per second")
	f.DurationVar(&limit, "for", 10*time.Minute, "how long at most; SIGTERM ends it sooner")
	f.StringVar(&c.Read.Path, "read", "/", "path to read")
	f.StringVar(&write.Path, "write", "", "path to post to; without it nothing is written")
	f.StringVar(&write.Body, "body", "", "what to post; {n} counts the requests")
	f.StringVar(&slow.Path, "slow", "", "path whose answer takes long: one request of nine")
	f.StringVar(&c.VersionHeader, "version-header", "", "response header that tells the version")
	return cmd
}

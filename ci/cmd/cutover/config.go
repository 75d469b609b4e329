package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"cutover.dev/ci/config"
	"cutover.dev/ci/outcome"
)

// source says where the configuration is and which environment is meant. It is
// the part that all commands share.
type source struct {
	dir        string
	env        string
	repository string
}

func (s *source) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.dir, "dir", ".", "folder that holds envs/, usually the repository's root")
	cmd.Flags().StringVar(&s.env, "env", "", "environment: the name of a file in envs/, such as dev")
	cmd.Flags().StringVar(&s.repository, "repository", "", "image repository to use instead of the configured one")
}

func (s *source) load() (config.Env, error) {
	env, err := config.Load(os.DirFS(s.dir), s.env)
	if err != nil {
		return config.Env{}, err
	}
	if s.repository != "" {
		env.Image.Repository = s.repository
	}
	return *env, nil
}

func configCommand() *cobra.Command {
	var (
		from   source
		format string
	)
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Checks the configuration of an environment and prints it with every default filled in",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			env, err := from.load()
			if err != nil {
				return err
			}
			var data []byte
			switch format {
			case "text":
				data = env.YAML()
			case "json":
				data, err = env.JSON()
			default:
				return outcome.Refusef("cutover config --format=json", "there is no format %q; there are text and json", format)
			}
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), strings.TrimSpace(string(data)))
			return nil
		},
	}
	from.flags(cmd)
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	return cmd
}

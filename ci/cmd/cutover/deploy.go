package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"cutover.dev/ci/config"
	"cutover.dev/ci/kube"
	"cutover.dev/ci/migrate"
	"cutover.dev/ci/migrate/lint"
	"cutover.dev/ci/outcome"
	"cutover.dev/ci/plan"
	"cutover.dev/ci/redact"
	"cutover.dev/ci/registry"
	"cutover.dev/ci/release"
	"cutover.dev/ci/report"
	"cutover.dev/ci/rollout"
)

// offer is the release that a caller wants to take to the cluster, and the way
// there.
type offer struct {
	source
	kubeconfig  string
	secretsFile string
	migrations  string
	input       plan.Input
	committed   string
	ancestry    string
	format      string
	// lint reads the migrations that are named.
	lint func(names []string) ([]lint.Finding, error)
}

func (o *offer) flags(cmd *cobra.Command) {
	o.source.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "kubeconfig file; its current context is used")
	f.StringVar(&o.secretsFile, "secrets", "", "file with NAME=value lines: the secrets of the environment")
	f.StringVar(&o.migrations, "migrations", "/migrations", "folder with the release's migrations, as in the bundle")
	f.StringVar(&o.input.Image, "image", "", "the application's image by digest")
	f.StringVar(&o.input.Bundle, "bundle", "", "the release's bundle by digest")
	f.StringVar(&o.input.Version, "version", "", "what the application answers on its version path")
	f.StringVar(&o.input.Commit, "commit", "", "commit that the image was built from")
	f.StringVar(&o.committed, "committed", "", "the commit's committer time, RFC 3339")
	f.StringVar(&o.ancestry, "ancestry", "", "file with the output of git rev-list --parents; a first line \"shallow\" says that it is cut off")
	f.StringVar(&o.input.AllowOlder, "allow-older", "", "why an older commit may replace a newer one")
	f.StringVar(&o.input.LiveIsBroken, "live-is-broken", "", "why to deploy though what serves is not well")
	f.StringVar(&o.input.Adopt, "adopt", "", "why the Service is cutover's again, after another program wrote its selector")
	f.StringVar(&o.input.AcceptDrift, "accept-drift", "", "why a schema that was changed by hand is right as it is")
	f.StringVar(&o.format, "format", "text", "text, json or (of a run) junit")
}

// open reads everything that the offer names and reaches the cluster.
func (o *offer) open(ctx context.Context, secrets *redact.Secrets) (*kube.Cluster, error) {
	var err error
	if o.input.Secrets, err = config.Dotenv(o.secretsFile); err != nil {
		return nil, err
	}
	for _, v := range o.input.Secrets {
		secrets.Add(v)
	}
	if o.input.Env, err = o.load(); err != nil {
		return nil, err
	}
	if o.committed != "" {
		t, err := time.Parse(time.RFC3339, o.committed)
		if err != nil {
			return nil, outcome.Refusef("git log -1 --format=%cI", "--committed: %w", err)
		}
		o.input.CommittedAt = new(t.UTC())
	}
	if o.input.Ancestry, err = readAncestry(o.ancestry); err != nil {
		return nil, err
	}
	if o.input.Env.Migrations != nil {
		if err := o.readMigrations(); err != nil {
			return nil, err
		}
	}
	cluster, err := connect(ctx, o.kubeconfig, o.input.Env, secrets)
	if err != nil {
		return nil, err
	}
	return cluster, nil
}

func (o *offer) readMigrations() (err error) {
	files, dir := os.DirFS(o.migrations), o.input.Env.Migrations.Dir
	if o.input.Migrations, err = migrate.Parse(files, dir); err != nil {
		return outcome.Refusef("correct it, then the same command again", "%w", err)
	}
	o.lint = func(names []string) ([]lint.Finding, error) {
		return lint.Check(files, dir, o.input.Migrations, names)
	}
	return nil
}

// pullable refuses images that their registry does not have.
func (o *offer) pullable(ctx context.Context) error {
	return registry.Check(ctx, o.input.Image, o.input.Bundle)
}

// connect reaches the cluster of an environment.
func connect(ctx context.Context, kubeconfig string, env config.Env, secrets *redact.Secrets) (*kube.Cluster, error) {
	cfg, access, err := kube.Connect(kubeconfig)
	secrets.Add(access...)
	if err != nil {
		return nil, err
	}
	cluster, err := kube.New(cfg, env.Namespace, env.App, env.Name)
	if err != nil {
		return nil, err
	}
	return cluster, cluster.Reach(ctx)
}

func readAncestry(path string) (plan.Ancestry, error) {
	if path == "" {
		return plan.Ancestry{}, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return plan.Ancestry{}, outcome.Refusef("git rev-list --parents HEAD > FILE", "--ancestry: %w", err)
	}
	defer f.Close()
	return plan.ReadAncestry(f)
}

func planCommand(secrets *redact.Secrets) *cobra.Command {
	var o offer
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Says what a deploy would do; changes nothing but for a pod that looks for some seconds",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cluster, err := o.open(cmd.Context(), secrets)
			if err != nil {
				return err
			}
			if err := o.pullable(cmd.Context()); err != nil {
				return err
			}
			d := deployer(cmd, cluster, o.input)
			d.Lint, d.Preview = o.lint, true
			p, err := d.Plan(cmd.Context())
			if err != nil {
				return err
			}
			if o.format == "json" {
				data, err := json.MarshalIndent(p, "", "  ")
				if err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), string(data))
				return rollout.Refusal(p)
			}
			fmt.Fprint(cmd.OutOrStdout(), p.Text())
			return rollout.Refusal(p)
		},
	}
	o.flags(cmd)
	return cmd
}

func deployCommand(secrets *redact.Secrets) *cobra.Command {
	var (
		o         offer
		by, label string
	)
	cmd := &cobra.Command{
		Use:   "deploy",
		Short: "Takes a release to the cluster, blue-green, and back again when a step fails",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cluster, err := o.open(cmd.Context(), secrets)
			if err != nil {
				return err
			}
			if err := o.pullable(cmd.Context()); err != nil {
				return err
			}
			d := deployer(cmd, cluster, o.input)
			d.Lint, d.By, d.Label = o.lint, by, label
			rec, err := d.Deploy(cmd.Context())
			return ended(cmd, rec, err, o.format)
		},
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&by, "by", "cutover", "who deploys and from where, as the lock and the record say it")
	cmd.Flags().StringVar(&label, "run-id", "", "the caller's own name for this run, such as a CI job's number")
	return cmd
}

// deployer works on a cluster and tells what it does on the error stream.
func deployer(cmd *cobra.Command, cluster *kube.Cluster, input plan.Input) *rollout.Deployer {
	return &rollout.Deployer{
		Input: input, Cluster: cluster, Agent: cluster, Store: kube.NewStore(cluster), Locker: cluster,
		Notify: func(e rollout.Event) { fmt.Fprintln(cmd.ErrOrStderr(), report.Line(e)) },
	}
}

// ended prints the record of a run, if there is one, and returns how it ended.
func ended(cmd *cobra.Command, rec *release.Record, err error, format string) error {
	if rec == nil {
		return err
	}
	if printErr := printRecord(cmd, rec, format); printErr != nil && err == nil {
		return printErr
	}
	return err
}

func printRecord(cmd *cobra.Command, rec *release.Record, format string) error {
	text, err := report.Run(rec, format)
	if err != nil {
		return err
	}
	fmt.Fprint(cmd.OutOrStdout(), text)
	return nil
}

package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"cutover.dev/ci/agent"
	"cutover.dev/ci/kube"
	"cutover.dev/ci/probe"
	"cutover.dev/ci/redact"
	"cutover.dev/ci/release"
)

// agentCommand is what runs in the cluster, from the bundle.
func agentCommand(secrets *redact.Secrets) *cobra.Command {
	cmd := &cobra.Command{Use: "agent", Short: "What runs inside the cluster, started by a deploy"}
	cmd.AddCommand(agentWatchCommand(), agentMigrateCommand(secrets), agentLoadCommand())
	return cmd
}

func agentWatchCommand() *cobra.Command {
	var o watchOptions
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Asks the application who it is, sends it requests, and guards its users; prints what it sees",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.config()
			if err != nil {
				return err
			}
			return agent.Watch(cmd.Context(), cmd.OutOrStdout(), c)
		},
	}
	o.flags(cmd)
	return cmd
}

// watchOptions are the flags of `agent watch`.
type watchOptions struct {
	run             string
	targets, probes []string
	load            probe.Config
	write, slow     probe.Request
	metrics         agent.Metrics
	queries         []string

	guard            bool
	namespace, app   string
	colour, previous string
	tolerate         int
}

func (o *watchOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.run, "run", "", "the run that this is for; every request of a probe carries it in the header Cutover-Probe")
	f.StringArrayVar(&o.targets, "target", nil, "NAME=URL of a version path to ask; may be repeated")
	f.StringArrayVar(&o.probes, "probe", nil, "NAME=URL to send requests to, from the first answer of the target NAME on; may be repeated")
	f.IntVar(&o.load.Rate, "rate", 20, "requests per second of each probe")
	f.StringVar(&o.load.Read.Path, "read", "/", "path to read")
	f.StringVar(&o.write.Path, "write", "", "path to post to; without it nothing is written")
	f.StringVar(&o.write.Body, "body", "", "what to post; {n} counts the requests, {nonce} is drawn for each")
	f.StringVar(&o.slow.Path, "slow", "", "path of a request that takes long; without it there is none")
	f.DurationVar(&o.load.Timeout, "timeout", 5*time.Second, "limit for one request")
	f.StringVar(&o.load.VersionHeader, "version-header", "", "response header that tells the version")
	f.StringVar(&o.metrics.URL, "prometheus", "", "address of Prometheus; without it nothing is measured")
	f.DurationVar(&o.metrics.Interval, "interval", 10*time.Second, "time between two askings of a query")
	f.StringArrayVar(&o.queries, "query", nil, "NAME=EXPRESSION in PromQL to ask; may be repeated")
	f.BoolVar(&o.guard, "guard", false, "switch back when the run has died and requests are lost; needs --run, --namespace, --app, --colour and the probe live")
	f.StringVar(&o.namespace, "namespace", "", "the application's namespace")
	f.StringVar(&o.app, "app", "", "the application's name")
	f.StringVar(&o.colour, "colour", "", "the colour that the run switches to")
	f.StringVar(&o.previous, "previous", "", "the colour to switch back to; without it the guard only records")
	f.IntVar(&o.tolerate, "tolerate", 0, "how many requests may fail after the switch")
}

func (o *watchOptions) config() (agent.Config, error) {
	var c agent.Config
	for _, t := range o.targets {
		name, url, ok := strings.Cut(t, "=")
		if !ok {
			return c, usageError{fmt.Errorf("--target=%s: want NAME=URL", t)}
		}
		c.Targets = append(c.Targets, agent.Target{Name: name, URL: url})
	}
	if o.write.Path != "" {
		o.write.Method = http.MethodPost // also without a body
		o.load.Write = &o.write
	}
	if o.slow.Path != "" {
		o.load.Slow = &o.slow
	}
	o.load.Header = map[string]string{"Cutover-Probe": o.run}
	for _, p := range o.probes {
		name, url, ok := strings.Cut(p, "=")
		if !ok {
			return c, usageError{fmt.Errorf("--probe=%s: want NAME=URL", p)}
		}
		load := o.load
		load.URL = url
		c.Probes = append(c.Probes, agent.Probe{Name: name, Config: load})
	}
	if o.metrics.URL != "" {
		o.metrics.Queries = map[string]string{}
		for _, q := range o.queries {
			name, expr, ok := strings.Cut(q, "=")
			if !ok {
				return c, usageError{fmt.Errorf("--query=%s: want NAME=EXPRESSION", q)}
			}
			o.metrics.Queries[name] = expr
		}
		c.Metrics = &o.metrics
	}
	if !o.guard {
		return c, nil
	}
	var err error
	c.Guard, err = o.guarding()
	return c, err
}

// apiTimeout bounds one request of the guard's: one to an API server that has
// vanished must end, to be made again.
const apiTimeout = 10 * time.Second

// guarding connects the guard to the cluster that it runs in.
func (o *watchOptions) guarding() (*agent.Guard, error) {
	if o.run == "" || o.namespace == "" || o.app == "" || o.colour == "" {
		return nil, usageError{errors.New("--guard needs --run, --namespace, --app and --colour")}
	}
	cfg, err := rest.InClusterConfig()
	if err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	cfg.Timeout, cfg.UserAgent = apiTimeout, "cutover-agent"
	cluster, err := kube.New(cfg, o.namespace, o.app, "")
	if err != nil {
		return nil, err
	}
	return &agent.Guard{
		Cluster: kube.NewGuard(cluster), Run: o.run,
		Colour: release.Colour(o.colour), Previous: release.Colour(o.previous), Tolerated: o.tolerate,
	}, nil
}

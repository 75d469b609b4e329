package plan

import (
	"testing"

	"github.com/stretchr/testify/require"

	"cutover.dev/ci/config"
	"cutover.dev/ci/release"
)

func TestFindings(t *testing.T) {
	const show = "kubectl --namespace=notes-prod get service notes --output=yaml --show-managed-fields"
	const unlock = "\ndagger call unlock --env=prod --abandon=\"why\"   (when it was led there on purpose: that then counts as what serves)"
	for name, c := range map[string]struct {
		change func(*Input, *Observed)
		want   []Finding
	}{
		"all is well": {func(*Input, *Observed) {}, nil},
		"the namespace is missing": {
			func(_ *Input, o *Observed) { *o = Observed{} },
			[]Finding{{`there is no namespace "notes-prod" in this cluster`, "kubectl create namespace notes-prod"}}},
		"secrets are missing": {
			func(in *Input, _ *Observed) {
				in.Env.Secrets.Required = []string{"DATABASE_URL", "API_KEY", "TOKEN"}
				in.Secrets["TOKEN"] = ""
			},
			[]Finding{{"secrets required by envs/prod.yaml but not given: API_KEY, TOKEN", "add NAME=value lines to the file that --secrets names"}}},
		"secrets are surplus": {
			func(in *Input, _ *Observed) { in.Secrets["ZED"], in.Secrets["API_KEY"] = "hunter2-hunter2", "x" },
			[]Finding{{"secrets given but not required by envs/prod.yaml: API_KEY, ZED", "list them under secrets.required, or leave them out of --secrets"}}},
		"the selector is foreign": {
			func(_ *Input, o *Observed) {
				o.Service, o.ServiceWriters = map[string]string{"tier": "web", "app": "notes"}, []string{"helm", "kubectl"}
			},
			[]Finding{{"the Service notes selects app=notes,tier=web (written by helm, kubectl), which is not cutover's", show}}},
		"the selector has one label more": {
			func(_ *Input, o *Observed) { o.Service["tier"] = "web" },
			[]Finding{{"the Service notes selects cutover.dev/colour=blue,cutover.dev/serves=notes,tier=web (written by cutover), which is not cutover's", show}}},
		"the selector has a colour that there is not": {
			func(_ *Input, o *Observed) { o.Service[release.LabelColour] = "red" },
			[]Finding{{"the Service notes selects cutover.dev/colour=red,cutover.dev/serves=notes (written by cutover), which is not cutover's", show}}},
		"the Service has no selector": {
			func(_ *Input, o *Observed) { o.Service, o.ServiceWriters = map[string]string{}, nil },
			[]Finding{{"the Service notes selects  (written by nobody known), which is not cutover's", show}}},
		"a foreign Service is there before the first release": {
			func(_ *Input, o *Observed) {
				o.Record, o.Service = nil, map[string]string{"app": "notes"}
			},
			[]Finding{{"the Service notes selects app=notes (written by cutover), which is not cutover's", show}}},
		"our Service is there without a record": {
			func(_ *Input, o *Observed) { o.Record = nil },
			[]Finding{{"the Service notes selects blue (written by cutover), but by the record nothing serves", show}}},
		"the Service is gone": {
			func(_ *Input, o *Observed) { o.Service = nil },
			[]Finding{{"the Service notes is gone, though blue served by the record of run RUN1", show}}},
		"the selector is not as recorded": {
			func(_ *Input, o *Observed) {
				o.Service = release.Names{App: "notes"}.Selector(release.Green)
			},
			[]Finding{{"the Service notes selects green (written by cutover), but by the record blue serves", show + unlock}}},
		"another program owns a part of the selector": {
			func(_ *Input, o *Observed) { o.ServiceWriters = []string{"cutover", "argocd-controller"} },
			[]Finding{{"argocd-controller wrote the colour in the selector of the Service notes; what it applies next could undo a switch",
				"make sure that nothing else writes spec.selector (" + show + "), then the same command with --adopt=\"why it is ours again\""}}},
		"another program owned it and a reason is given": {
			func(in *Input, o *Observed) {
				o.ServiceWriters, in.Adopt = []string{"cutover", "kubectl-edit"}, "I did it"
			}, nil},
		"a killed run has switched": {
			func(_ *Input, o *Observed) {
				o.Service, o.Record.Outcome = release.Names{App: "notes"}.Selector(release.Green), release.Running
			}, nil},
		"a killed run was in its overlap": {
			func(_ *Input, o *Observed) {
				o.Service, o.Record.Outcome = release.Names{App: "notes"}.Selector(release.Both), release.Running
			}, nil},
		"nobody is in an overlap": {
			func(_ *Input, o *Observed) { o.Service = release.Names{App: "notes"}.Selector(release.Both) },
			[]Finding{{"the Service notes selects cutover.dev/serves=notes (written by cutover), which is not cutover's", show}}},
		"the commit is older": {
			func(in *Input, o *Observed) {
				in.Commit, in.Ancestry = "a", Ancestry{parents: map[string][]string{"b": {"a"}, "a": nil}}
				o.Record.Release.Commit = "b"
			},
			[]Finding{{"a is an older commit than what serves, by git's history, b", `dagger call rollback --env=prod --to=RELEASE   (to go back), or the same command with --allow-older="why"`}}},
		"the commit is older and a reason is given": {
			func(in *Input, o *Observed) {
				in.Commit, in.Ancestry, in.AllowOlder = "a", Ancestry{parents: map[string][]string{"b": {"a"}, "a": nil}}, "the newer one is withdrawn"
				o.Record.Release.Commit = "b"
			}, nil},
		"another environment has the namespace": {
			func(_ *Input, o *Observed) { o.Record.Release.Env.Name = "staging" },
			[]Finding{{`the namespace notes-prod already holds notes of the environment "staging"`, "give envs/prod.yaml a namespace of its own"}}},
	} {
		in, seen := next(), after(offer())
		c.change(&in, &seen)
		require.Equal(t, c.want, Make(in, seen).Findings, name)
	}
}

func TestAllFindingsAreToldAtOnce(t *testing.T) {
	in, seen := next(), after(offer())
	in.Secrets = map[string]string{"SURPLUS": "hunter2-hunter2"}
	seen.Service = nil
	seen.Record.Release.Env.Name = "staging"
	require.Len(t, Make(in, seen).Findings, 4)
}

func TestNotesSayTheOrderAndTheReasons(t *testing.T) {
	in, seen := next(), after(offer())
	in.Commit, in.AllowOlder, in.Adopt = seen.Record.Release.Commit, "withdrawn", "I edited it"
	p := Make(in, seen)
	require.Equal(t, []string{"--adopt: I edited it", "--allow-older: withdrawn", "it is the same commit as what serves"}, p.Notes)
	require.Contains(t, p.Text(), "notes       --adopt: I edited it")
}

func TestARollbackIsNotHeldAgainstTheOrder(t *testing.T) {
	in, seen := next(), after(offer())
	old := candidate(offer())
	old.Commit, old.ID = "a", "r0"
	in.Restore, in.Ancestry = &old, Ancestry{parents: map[string][]string{"b": {"a"}, "a": nil}}
	seen.Record.Release.Commit = "b"
	p := Make(in, seen)
	require.Empty(t, p.Findings)
	require.Equal(t, release.Rollback, p.Kind)
	require.Equal(t, "r0", p.Release.ID)
}

func TestWithAnAutoscalerTheSizeThatServesIsTheLeast(t *testing.T) {
	in, seen := next(), after(offer())
	in.Env.Autoscale = &config.Autoscale{Min: 2, Max: 10, CPU: 80}
	for size, want := range map[int]int{1: 2, 2: 2, 7: 7, 12: 12} {
		seen.Size[release.Blue] = size
		require.Equal(t, want, Make(in, seen).Replicas)
	}
	in.Env.Autoscale = nil
	seen.Record.Release.Env.Autoscale = &config.Autoscale{Min: 2, Max: 10, CPU: 80}
	seen.Size[release.Blue] = 7
	require.Equal(t, 7, Make(in, seen).Replicas, "who takes the autoscaler away keeps the size it had decided")
}

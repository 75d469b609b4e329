package config

import (
	"os"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"cutover.dev/ci/outcome"
)

// least is the shortest file that is complete.
const least = `app: notes
namespace: notes-dev
image: {repository: registry.example.com/notes}
port: 8080
`

// repository returns a repository that has one environment, dev, with that file.
func repository(file string) fstest.MapFS {
	return fstest.MapFS{"envs/dev.yaml": {Data: []byte(file)}}
}

func load(t *testing.T, file string) *Env {
	t.Helper()
	env, err := Load(repository(file), "dev")
	require.NoError(t, err)
	return env
}

func TestLeavingOutWhatHasADefaultGivesTheDefault(t *testing.T) {
	require.Equal(t, &Env{
		Name:      "dev",
		App:       "notes",
		Namespace: "notes-dev",
		Image: Image{
			Repository: "registry.example.com/notes",
			Build:      Build{Context: ".", Dockerfile: "Dockerfile"},
		},
		Port:     8080,
		Replicas: 2,
		Health:   Health{Ready: "/readyz", Live: "/livez", Version: "/version"},
		Raise:    Raise{Timeout: 5 * time.Minute},
		Verify:   Verify{Answers: 20, Timeout: time.Minute, Drain: true},
		Probe:    Probe{Rate: 20, Read: "/version", Timeout: 5 * time.Second, Samples: 20},
		Bake:     Bake{For: 30 * time.Second, Interval: 10 * time.Second},
		Shutdown: Shutdown{Sleep: 5 * time.Second, Grace: 45 * time.Second},
	}, load(t, least))
}

func TestGivingAPartOfAGroupKeepsTheOtherDefaults(t *testing.T) {
	env := load(t, least+`
health: {ready: /ready}
secrets: {required: [DSN]}
migrations: {dir: sql, dsn: DSN}
test: {image: alpine, command: ["true"]}
shutdown: {sleep: 0s}
`)
	require.Equal(t, Health{Ready: "/ready", Live: "/livez", Version: "/version"}, env.Health)
	require.Equal(t, &Migrations{Dir: "sql", Engine: "postgres", DSN: "DSN", Timeout: 10 * time.Minute, RollbackWindow: 24 * time.Hour, Image: "postgres:17"}, env.Migrations)
	require.Equal(t, &Test{Image: "alpine", Dir: ".", Command: []string{"true"}}, env.Test)
	require.Equal(t, Shutdown{Sleep: 0, Grace: 45 * time.Second}, env.Shutdown)
}

func TestTheDockerfileIsSoughtInTheContext(t *testing.T) {
	env := load(t, `
app: notes
namespace: notes-dev
image: {repository: registry.example.com/notes, build: {context: services/notes}}
port: 8080
`)
	require.Equal(t, "services/notes/Dockerfile", env.Image.Build.Dockerfile)
}

func TestNothingBetweenBracketsIsNothing(t *testing.T) {
	require.Equal(t, load(t, least), load(t, least+"env: {}\nresources: {limits: {}}\nsecrets: {required: []}\n"))
}

func TestFilesFromWindowsAreRead(t *testing.T) {
	require.Equal(t, load(t, least), load(t, "\ufeffapp: notes\r\nnamespace: notes-dev\r\n"+
		"image:\r\n  repository: registry.example.com/notes\r\nport: 8080\r\n"))
}

func TestAMissingEnvironmentNamesThoseThereAre(t *testing.T) {
	root := fstest.MapFS{"envs/prod.yaml": {}, "envs/staging.yaml": {}, "envs/dev.yaml": {}, "envs/README.md": {}}
	for name, want := range map[string]string{
		"nope": `there is no environment "nope" (envs/nope.yaml); there are: dev, prod, staging
  now:  nothing was changed
  next: dagger call check --env=dev`,
		"prd": `there is no environment "prd" (envs/prd.yaml); there are: dev, prod, staging
  now:  nothing was changed
  next: dagger call check --env=prod`,
	} {
		_, err := Load(root, name)
		require.Equal(t, want, outcome.Explain(err))
		require.Equal(t, outcome.Refused, outcome.CodeOf(err))
	}
}

func TestARepositoryWithoutEnvironmentsIsToldToMakeOne(t *testing.T) {
	_, err := Load(fstest.MapFS{}, "dev")
	require.Equal(t, `there is no environment "dev" (envs/dev.yaml); there are none in envs
  now:  nothing was changed
  next: write envs/NAME.yaml; README.md shows a whole one`, outcome.Explain(err))
}

func TestANameIsNoPath(t *testing.T) {
	root := fstest.MapFS{"envs/dev.yaml": {}, "secret.yaml": {}}
	for _, name := range []string{"../secret", "..", "/etc/passwd", "a/b", "", "Dev", "dev.yaml", "dev\n"} {
		_, err := Load(root, name)
		require.ErrorContains(t, err, "cannot be the name of an environment; there are: dev", name)
		require.Equal(t, outcome.Refused, outcome.CodeOf(err))
	}
}

func TestAFileThatCannotBeReadIsBrokenRatherThanRefused(t *testing.T) {
	_, err := Load(fstest.MapFS{"envs/dev.yaml": {Mode: os.ModeDir}}, "dev")
	require.ErrorContains(t, err, "cannot read envs/dev.yaml")
	require.Equal(t, outcome.Failed, outcome.CodeOf(err))
}

func TestNamesAreSorted(t *testing.T) {
	names, err := Names(fstest.MapFS{"envs/prod.yaml": {}, "envs/dev.yaml": {}, "envs/_x.yaml": {}, "envs/x.json": {}})
	require.NoError(t, err)
	require.Equal(t, []string{"dev", "prod"}, names)
}

package config

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// full has a value that is not the default for every key.
const full = `app: notes
namespace: notes-prod
image:
  repository: registry.example.com/notes
  build:
    context: example
    dockerfile: example/Dockerfile
    target: server
    args:
      GO_VERSION: "1.20"
  pullSecret: registry-login
port: 8080
replicas: 3
autoscale:
  min: 3
  max: 9
  cpu: 70
env:
  EMPTY: ""
  GREETING: "Hello, \"world\": #1\n"
  LOG_LEVEL: debug
  MODE: "0755"
  "NO": "no"
resources:
  requests:
    cpu: 50m
    memory: 64Mi
  limits:
    cpu: "1.5"
health:
  ready: /ready
  live: /live
  version: /v
secrets:
  required: [DATABASE_URL, API_KEY]
migrations:
  dir: example/migrations
  engine: postgres
  dsn: DATABASE_URL
  timeout: 1h
  rollbackWindow: 36h
  image: postgres:15
  backup:
    image: postgres:17
    command: [pg_dump, "--file=/x"]
    timeout: 10m
test:
  image: golang:1.26
  dir: example
  command: [go, test, "-run", "1", ./...]
raise:
  timeout: 1m30s
verify:
  answers: 50
  timeout: 2m
  drain: false
probe:
  rate: 50
  read: /notes
  write:
    post: /notes
    body: "{\"title\": \"{n}\"}"
  slow: /report
  timeout: 10s
  versionHeader: Notes-Version
  samples: 100
  tolerate: 2
metrics:
  prometheus: http://prometheus.monitoring:9090
switch:
  overlap: 1m
bake:
  for: 10m
  queries:
    errors:
      promql: "sum(rate(errors[1m]))"
      max: 0.01
      tolerate: 2
      noData: pass
    served:
      promql: rate_served
      min: -1.5
      max: 2e+09
  interval: 30s
shutdown:
  sleep: 10s
  grace: 1m
`

func TestAnEnvironmentIsWrittenAsPeopleWriteIt(t *testing.T) {
	require.Equal(t, full, string(load(t, full).YAML()))
}

func TestWhatIsWrittenIsReadAsTheSame(t *testing.T) {
	for _, file := range []string{least, full} {
		env := load(t, file)
		require.Equal(t, env, load(t, string(env.YAML())))
	}
}

func TestWhatIsWrittenHoldsTheDefaults(t *testing.T) {
	require.Contains(t, string(load(t, least).YAML()), `shutdown:
  sleep: 5s
  grace: 45s
`)
}

func TestJSONHasDurationsAsText(t *testing.T) {
	text, err := load(t, full).JSON()
	require.NoError(t, err)
	var read map[string]any
	require.NoError(t, json.Unmarshal(text, &read))
	require.Equal(t, "dev", read["name"])
	require.Equal(t, map[string]any{"timeout": "1m30s"}, read["raise"])
	require.Equal(t, map[string]any{"answers": 50.0, "timeout": "2m0s", "drain": false}, read["verify"])
	require.Equal(t, map[string]any{"sleep": "10s", "grace": "1m0s"}, read["shutdown"])
	require.Equal(t, "1h0m0s", read["migrations"].(map[string]any)["timeout"])
	require.Equal(t, "postgres", read["migrations"].(map[string]any)["engine"])
}

func TestJSONIsReadAsTheSame(t *testing.T) {
	for _, file := range []string{least, full} {
		env := load(t, file)
		text, err := json.Marshal(env)
		require.NoError(t, err)
		var read Env
		require.NoError(t, json.Unmarshal(text, &read))
		require.Equal(t, env, &read)
	}
}

func TestJSONWithADurationThatIsNoneIsAnError(t *testing.T) {
	require.Error(t, json.Unmarshal([]byte(`{"raise": {"timeout": "soon"}}`), new(Env)))
}

func TestDurationsAreShort(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": 0, "10m": 10 * time.Minute, "1h": time.Hour, "1h0m1s": time.Hour + time.Second,
		"1h30m": 90 * time.Minute, "1m30s": 90 * time.Second, "1.5s": 1500 * time.Millisecond,
	} {
		require.Equal(t, want, short(d))
	}
}

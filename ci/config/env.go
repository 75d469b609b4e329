// Package config loads envs/NAME.yaml, the one place where a team says how its
// application is deployed to an environment.
//
// Loading is strict: an unknown key, a wrong type or an impossible pair of
// values is an error that names file, line and column and shows the line; all
// errors are reported at once. Nothing else in cutover parses YAML.
package config

import "time"

// Env is one environment of one application, as envs/NAME.yaml describes it.
// The zero value is not usable; Load returns complete ones with every default
// filled in.
type Env struct {
	// Name is the file's name without its ending: envs/prod.yaml is "prod".
	Name string `yaml:"-" json:"name"`

	// App names the application and every object that is made for it: a DNS label
	// of at most 40 characters, so that the longest derived name still is one. It
	// starts with a letter, as the name of a Service must.
	App string `yaml:"app" json:"app"`

	// Namespace is where the application runs. It must exist; cutover never makes
	// or deletes namespaces.
	Namespace string `yaml:"namespace" json:"namespace"`

	// Image says where the application's image is pushed and how it is built.
	Image Image `yaml:"image" json:"image"`

	// Port is the TCP port on which the container serves HTTP. The Service listens
	// on port 80 and forwards to it.
	Port int `yaml:"port" json:"port"`

	// Replicas is the number of pods of a colour. Default 2. With autoscale it is
	// only the size of a first release.
	Replicas int `yaml:"replicas" json:"replicas"`

	// Autoscale lets a HorizontalPodAutoscaler set the number of pods. Nil: it is
	// Replicas.
	Autoscale *Autoscale `yaml:"autoscale,omitempty" json:"autoscale,omitempty"`

	// Env is plain configuration, handed to every pod as environment variables
	// from an immutable ConfigMap of the release. Secrets never stand here. What
	// YAML would read as a number or a boolean is written in quotes: "010", "yes".
	Env map[string]string `yaml:"env,omitempty" json:"env,omitempty"`

	// Resources are the container's requests and limits, as Kubernetes quantities.
	Resources Resources `yaml:"resources" json:"resources"`

	// Health names the paths that tell how the application is.
	Health Health `yaml:"health" json:"health"`

	// Secrets names the secrets that a deploy must be given; their values come
	// from --secrets, never from this file.
	Secrets Secrets `yaml:"secrets" json:"secrets"`

	// Migrations says where the database migrations are. Nil: no database.
	Migrations *Migrations `yaml:"migrations,omitempty" json:"migrations,omitempty"`

	// Test is run by `dagger call test` and before each build. Nil: no tests.
	Test *Test `yaml:"test,omitempty" json:"test,omitempty"`

	// Raise bounds how long a new colour may take to become ready.
	Raise Raise `yaml:"raise" json:"raise"`

	// Verify says how surely the new version must have answered.
	Verify Verify `yaml:"verify" json:"verify"`

	// Smoke is a suite that asks the application as its users do, run in the cluster
	// before the switch and after it. Nil: none.
	Smoke *Smoke `yaml:"smoke,omitempty" json:"smoke,omitempty"`

	// Probe is the traffic with which a run proves that no request was lost.
	Probe Probe `yaml:"probe" json:"probe"`

	// Metrics says where metrics are. Nil: nowhere.
	Metrics *Metrics `yaml:"metrics,omitempty" json:"metrics,omitempty"`

	// Switch says how the Service is led to the new colour.
	Switch Switch `yaml:"switch" json:"switch"`

	// Bake is the time in which the new version is watched before the old one goes.
	Bake Bake `yaml:"bake" json:"bake"`

	// Shutdown says how a pod is taken away.
	Shutdown Shutdown `yaml:"shutdown" json:"shutdown"`
}

// Autoscale lets a HorizontalPodAutoscaler set the number of pods.
type Autoscale struct {
	// Min is the least number of pods, but for the time of a rollout, in which it
	// is never less than what serves.
	Min int `yaml:"min" json:"min"`
	// Max is the greatest number of pods.
	Max int `yaml:"max" json:"max"`
	// CPU is the percentage of the requested CPU that pods are to use on average;
	// it needs resources.requests.cpu. Default 80.
	CPU int `yaml:"cpu" json:"cpu"`
}

// Image says where the application's image is pushed and how it is built.
type Image struct {
	// Repository is where the image and the bundle are pushed, without a tag:
	// registry.example.com/notes.
	Repository string `yaml:"repository" json:"repository"`

	// Build says how the image is made from the repository.
	Build Build `yaml:"build" json:"build"`

	// PullSecret names a Secret of type kubernetes.io/dockerconfigjson in the
	// namespace, used by every pod that cutover makes. Default: none.
	PullSecret string `yaml:"pullSecret,omitempty" json:"pullSecret,omitempty"`
}

// Build says how the application's image is made. All paths are relative to the
// repository's root.
type Build struct {
	// Context is the folder that is sent to the build. Default ".".
	Context string `yaml:"context" json:"context"`

	// Dockerfile is the path of the Dockerfile. Default CONTEXT/Dockerfile.
	Dockerfile string `yaml:"dockerfile" json:"dockerfile"`

	// Target is the stage to build. Default: the last one.
	Target string `yaml:"target,omitempty" json:"target,omitempty"`

	// Args are build arguments. VERSION is always set by cutover.
	Args map[string]string `yaml:"args,omitempty" json:"args,omitempty"`
}

// Resources are the container's requests and limits.
type Resources struct {
	// Requests is what the scheduler reserves, such as {cpu: 100m, memory: 64Mi}.
	Requests map[string]string `yaml:"requests,omitempty" json:"requests,omitempty"`
	// Limits is what the kernel enforces, such as {memory: 256Mi}.
	Limits map[string]string `yaml:"limits,omitempty" json:"limits,omitempty"`
}

// Health names the application's paths, each answering 200 when all is well.
type Health struct {
	// Ready answers whether the pod can serve; it becomes the readiness probe.
	// Default /readyz.
	Ready string `yaml:"ready" json:"ready"`
	// Live answers whether the process works at all; it becomes the liveness
	// probe. Default /livez.
	Live string `yaml:"live" json:"live"`
	// Version answers JSON with a "version" field, which must be the release's
	// version, and optionally a "release" field holding $CUTOVER_RELEASE.
	// Default /version.
	Version string `yaml:"version" json:"version"`
}

// Secrets names the secrets that a deploy must be given.
type Secrets struct {
	// Required are the names that --secrets must hold, no more and no fewer.
	Required []string `yaml:"required,omitempty" json:"required,omitempty"`
}

// Migrations says where the database migrations are and how to reach the
// database.
type Migrations struct {
	// Dir is the folder with goose's SQL files, relative to the repository's root.
	Dir string `yaml:"dir" json:"dir"`
	// Engine is the database's kind. Only "postgres" is supported, which is the
	// default.
	Engine string `yaml:"engine" json:"engine"`
	// DSN names the secret that holds the connection string, one of
	// secrets.required.
	DSN string `yaml:"dsn" json:"dsn"`
	// Timeout bounds the whole migration. Default 10m.
	Timeout time.Duration `yaml:"timeout" json:"timeout"`
	// RollbackWindow is how long a release stays a target for a rollback after it
	// was retired: until then no contract migration takes away what it uses.
	// Default 24h.
	RollbackWindow time.Duration `yaml:"rollbackWindow" json:"rollbackWindow"`
	// Image is the PostgreSQL on which `migrate rehearse` plays the migrations; it
	// should be of the database's major version. Default postgres:17.
	Image string `yaml:"image" json:"image"`
	// Backup is run before a contract migration, in the cluster and with the
	// release's configuration and secrets. Nil: where the write-ahead log stands is
	// noted, which is a restore point where it is archived.
	Backup *Backup `yaml:"backup,omitempty" json:"backup,omitempty"`
}

// Backup is a command that makes a copy of the database. The last line that it
// prints names the copy in the record.
type Backup struct {
	// Image is the container's image, such as postgres:17.
	Image string `yaml:"image" json:"image"`
	// Command is the program and its arguments; no shell is involved.
	Command []string `yaml:"command" json:"command"`
	// Timeout bounds it. Default 30m.
	Timeout time.Duration `yaml:"timeout" json:"timeout"`
}

// Test is a command that runs in a container with the repository.
type Test struct {
	// Image is the container's image, such as golang:1.26.
	Image string `yaml:"image" json:"image"`
	// Dir is the working folder, relative to the repository's root. Default ".".
	Dir string `yaml:"dir" json:"dir"`
	// Command is the program and its arguments; no shell is involved.
	Command []string `yaml:"command" json:"command"`
}

// Raise bounds how long a new colour may take to become ready.
type Raise struct {
	// Timeout is the time from applying the Deployment until every pod is ready.
	// Default 5m.
	Timeout time.Duration `yaml:"timeout" json:"timeout"`
	// Restarts is how often a pod of the new colour may end and be started again,
	// from here to the end of bake, before the run is rolled back. Default: never.
	Restarts int `yaml:"restarts,omitempty" json:"restarts,omitempty"`
}

// Verify says how surely the new version must have answered.
type Verify struct {
	// Answers is how many fresh connections in a row the new version must have
	// answered, before and after the switch. Default 20.
	Answers int `yaml:"answers" json:"answers"`
	// Timeout bounds one verification. Default 1m.
	Timeout time.Duration `yaml:"timeout" json:"timeout"`
	// Drain ends one surplus pod of the new colour under load before the switch:
	// a version that loses requests when a pod goes never serves. Default true.
	Drain bool `yaml:"drain" json:"drain"`
}

// Smoke is a suite that asks the application as its users do: Go tests that are
// compiled into the bundle, or any program in an image. It is run as a Job, with
// BASE_URL and EXPECT_VERSION in its environment; the exit code 0 passes.
type Smoke struct {
	// Package is the folder with the Go tests, as `go test` takes it: ./smoke. It
	// belongs to the module of the repository's root.
	Package string `yaml:"package,omitempty" json:"package,omitempty"`
	// Image is the image to run instead of Go tests, such as grafana/k6:1.3.0.
	Image string `yaml:"image,omitempty" json:"image,omitempty"`
	// Command is the program in Image and its arguments; no shell is involved.
	// Default: the image's own.
	Command []string `yaml:"command,omitempty" json:"command,omitempty"`
	// Timeout bounds one run of it. Default 2m.
	Timeout time.Duration `yaml:"timeout" json:"timeout"`
	// Retries is how often the whole suite is run again when it has failed.
	// Default: never.
	Retries int `yaml:"retries,omitempty" json:"retries,omitempty"`
}

// Probe is the traffic with which a run proves that no request was lost. It is
// sent from inside the cluster, half of it on fresh connections and half on
// kept-alive ones, with the header Cutover-Probe: RUN.
type Probe struct {
	// Rate is the number of requests per second. Default 20.
	Rate int `yaml:"rate" json:"rate"`
	// Read is the path that is read, with its query. Default: health.version.
	Read string `yaml:"read" json:"read"`
	// Write is a request that writes; it takes turns with Read. Default: none.
	Write *ProbeWrite `yaml:"write,omitempty" json:"write,omitempty"`
	// Slow is a path whose answer takes long, though less than Timeout: some of
	// its requests are always in flight. Default: none.
	Slow string `yaml:"slow,omitempty" json:"slow,omitempty"`
	// Timeout bounds one request. Default 5s.
	Timeout time.Duration `yaml:"timeout" json:"timeout"`
	// P99 is the most that 99 of 100 answers of one second may take. More than a tenth
	// of the seconds since the switch over it, and more than two, is a failure.
	// Default: no limit.
	P99 time.Duration `yaml:"p99,omitempty" json:"p99,omitempty"`
	// VersionHeader is the header in which every answer tells its version.
	// Default: none; then the versions are not counted.
	VersionHeader string `yaml:"versionHeader,omitempty" json:"versionHeader,omitempty"`
	// Samples is how many answers since the switch a verdict needs. Default 20.
	Samples int `yaml:"samples" json:"samples"`
	// Tolerate is how many requests may fail from the switch to the end of bake
	// before the run is rolled back. Default: none.
	Tolerate int `yaml:"tolerate,omitempty" json:"tolerate,omitempty"`
}

// ProbeWrite is a request that writes.
type ProbeWrite struct {
	// Post is the path to post to.
	Post string `yaml:"post" json:"post"`
	// Body is what is posted, as JSON; {n} counts the requests and {nonce} is
	// drawn for each.
	Body string `yaml:"body" json:"body"`
}

// Metrics says where metrics are.
type Metrics struct {
	// Prometheus is the address of its HTTP API as the cluster's pods reach it, such
	// as http://prometheus.monitoring:9090.
	Prometheus string `yaml:"prometheus" json:"prometheus"`
}

// Query is one question to Prometheus and what its answers may be. Where an answer
// has several series, each of them counts.
type Query struct {
	// PromQL is the expression; ${app}, ${namespace}, ${colour}, ${release} and
	// ${version} in it stand for the new version's.
	PromQL string `yaml:"promql" json:"promql"`
	// Min is the least that an answer may be. Default: no bound.
	Min *float64 `yaml:"min,omitempty" json:"min,omitempty"`
	// Max is the most that an answer may be. Default: no bound.
	Max *float64 `yaml:"max,omitempty" json:"max,omitempty"`
	// Tolerate is how many answers may be out of bounds before the run is rolled
	// back. Default: none.
	Tolerate int `yaml:"tolerate,omitempty" json:"tolerate,omitempty"`
	// NoData says what it counts as when Prometheus has no value, or does not answer:
	// fail, as if it were out of bounds, or pass. Default: fail.
	NoData string `yaml:"noData,omitempty" json:"noData,omitempty"`
}

// Switch says how the Service is led to the new colour.
type Switch struct {
	// Overlap is how long the Service leads to both colours: for load balancers
	// that send to pods directly and learn of new ones late. Default: not at all.
	Overlap time.Duration `yaml:"overlap,omitempty" json:"overlap,omitempty"`
}

// Bake is the time in which the new version is watched before the old one goes.
type Bake struct {
	// For is how long the prober has to have watched it; seconds in which nobody
	// watched do not count. Default 30s.
	For time.Duration `yaml:"for" json:"for"`
	// Queries are asked of metrics.prometheus, by a name for the report, from inside
	// the cluster. Answers count from one interval after the switch on, and each query
	// needs one. Default: none.
	Queries map[string]Query `yaml:"queries,omitempty" json:"queries,omitempty"`
	// Interval lies between two askings of a query. Default 10s.
	Interval time.Duration `yaml:"interval" json:"interval"`
}

// Shutdown says how a pod is taken away.
type Shutdown struct {
	// Sleep is how long a pod goes on serving after its end was decided, so that
	// every node can stop sending to it (preStop). Whole seconds. Default 5s.
	Sleep time.Duration `yaml:"sleep" json:"sleep"`
	// Grace is how long, sleep included, a pod may take to end before it is
	// killed. Whole seconds, more than sleep. Default 45s.
	Grace time.Duration `yaml:"grace" json:"grace"`
}

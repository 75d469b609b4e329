package config

import (
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// The grammar of image names is distribution's, the registry's own.
const (
	component         = `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
	repositoryPattern = `([A-Za-z0-9][-A-Za-z0-9.]*(:[0-9]+)?/)?` + component + `(/` + component + `)*`
	tagAndDigest      = `(:\w[-.\w]{0,127})?(@sha256:[0-9a-f]{64})?`
)

var (
	repositoryName = regexp.MustCompile(`^` + repositoryPattern + `$`)
	imageName      = regexp.MustCompile(`^` + repositoryPattern + tagAndDigest + `$`)
	label          = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`) // DNS-1123
	appName        = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$`)    // DNS-1035, shorter
	secretName     = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	headerName     = regexp.MustCompile(`^[-A-Za-z0-9]+$`)
	variable       = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`) // a C identifier
)

// check holds the values against the rules that types cannot express.
func (s *source) check(e *Env) {
	s.checkMissing(e)
	s.checkNames(e)
	s.checkImage(e.Image)
	s.checkNumbers(e)
	s.checkHealth(e.Health)
	s.checkEnv(e)
	s.checkQuantities(e.Resources)
	s.checkSecrets(e.Secrets)
	if e.Migrations != nil {
		s.checkMigrations(e)
	}
	if e.Test != nil {
		s.checkTest(e.Test)
	}
	if e.Autoscale != nil {
		s.checkAutoscale(e)
	}
	if e.Smoke != nil {
		s.checkSmoke(e.Smoke)
	}
	s.checkProbe(e.Probe)
	if e.Metrics != nil {
		s.checkMetrics(e.Metrics)
	}
	s.checkQueries(e.Bake)
	s.checkTimes(e)
}

// want notes a problem with the value at path unless ok, or unless something was
// said about that value already.
func (s *source) want(ok bool, path, format string, args ...any) {
	if !ok && !s.faulty(path) {
		s.reject(path, format, args...)
	}
}

// wantKey is want for rules about a key rather than about its value.
func (s *source) wantKey(ok bool, path, format string, args ...any) {
	if !ok {
		s.rejectAt(s.keyPlace(path), path, format, args...)
	}
}

func (s *source) checkMissing(e *Env) {
	required := []string{"app", "namespace", "image.repository", "port"}
	if e.Migrations != nil {
		required = append(required, "migrations.dir", "migrations.dsn")
		if e.Migrations.Backup != nil {
			required = append(required, "migrations.backup.image", "migrations.backup.command")
		}
	}
	if e.Test != nil {
		required = append(required, "test.image", "test.command")
	}
	if e.Autoscale != nil {
		required = append(required, "autoscale.min", "autoscale.max")
	}
	if e.Probe.Write != nil {
		required = append(required, "probe.write.post", "probe.write.body")
	}
	if e.Metrics != nil || len(e.Bake.Queries) > 0 {
		required = append(required, "metrics.prometheus")
	}
	for _, name := range slices.Sorted(maps.Keys(e.Bake.Queries)) {
		required = append(required, join("bake.queries", join(name, "promql")))
	}
	missing := map[place][]string{} // by the map that lacks them
	for _, path := range required {
		if !s.given(path) && !s.faulty(path) {
			s.faults = append(s.faults, path)
			at := s.keyPlace(parent(path))
			missing[at] = append(missing[at], path)
		}
	}
	for at, paths := range missing {
		s.add(at, "missing: %s", strings.Join(paths, ", "))
	}
}

func (s *source) checkNames(e *Env) {
	s.want(appName.MatchString(e.App), "app",
		"%q is not a name of at most 40 lower-case letters, digits and dashes that starts with a letter", e.App)
	s.want(!strings.HasSuffix(e.App, "-preview"), "app", "%q ends with -preview, which is the name of another application's preview Service", e.App)
	s.want(label.MatchString(e.Namespace), "namespace",
		"%q is not a name of at most 63 lower-case letters, digits and dashes", e.Namespace)
}

func (s *source) checkImage(image Image) {
	const at = "image.repository"
	given := image.Repository
	s.want(!strings.Contains(given, "://"), at, "%q has a scheme; leave it out", given)
	s.want(!strings.Contains(given, "@"), at, "%q has a digest; cutover adds each release's own", given)
	s.want(!strings.Contains(path.Base(given), ":"), at, "%q has a tag; cutover adds each release's own", given)
	s.want(repositoryName.MatchString(given), at, "%q is not a repository such as registry.example.com/notes", given)

	s.want(image.PullSecret == "" || secretName.MatchString(image.PullSecret) && len(image.PullSecret) <= 253,
		"image.pullSecret", "%q cannot be the name of a Secret", image.PullSecret)
	s.wantLocal(image.Build.Context, "image.build.context")
	s.wantLocal(image.Build.Dockerfile, "image.build.dockerfile")
	for key := range image.Build.Args {
		full := "image.build.args." + key
		s.wantKey(variable.MatchString(key), full, "the name of a build argument is letters, digits and underscores")
		s.wantKey(key != "VERSION", full, "cutover sets VERSION itself; remove it")
	}
}

func (s *source) checkNumbers(e *Env) {
	s.wantBetween(e.Port, 1, 65535, "port")
	s.wantBetween(e.Replicas, 1, 1000, "replicas")
	s.wantBetween(e.Raise.Restarts, 0, 1000, "raise.restarts")
	s.wantBetween(e.Verify.Answers, 1, 10000, "verify.answers")
}

func (s *source) checkHealth(health Health) {
	s.wantURLPath(health.Ready, "health.ready")
	s.wantURLPath(health.Live, "health.live")
	s.wantURLPath(health.Version, "health.version")
}

func (s *source) checkAutoscale(e *Env) {
	a := e.Autoscale
	s.wantBetween(a.Min, 1, 1000, "autoscale.min")
	s.wantBetween(a.Max, 1, 1000, "autoscale.max")
	s.wantBetween(a.CPU, 1, 1000, "autoscale.cpu")
	s.want(a.Min <= a.Max, "autoscale.max", "%d is less than autoscale.min, which is %d", a.Max, a.Min)
	if s.given("replicas") && !s.faulty("autoscale") {
		s.want(a.Min <= e.Replicas && e.Replicas <= a.Max, "replicas", "%d is not between autoscale.min and autoscale.max", e.Replicas)
	}
	s.wantKey(e.Resources.Requests["cpu"] != "", "autoscale", "needs resources.requests.cpu, of which it is a percentage")
}

func (s *source) checkProbe(p Probe) {
	s.wantBetween(p.Rate, 1, 1000, "probe.rate")
	s.wantBetween(p.Samples, 1, 100000, "probe.samples")
	s.wantBetween(p.Tolerate, 0, 100000, "probe.tolerate")
	s.want(p.VersionHeader == "" || headerName.MatchString(p.VersionHeader), "probe.versionHeader", "%q cannot be the name of a header", p.VersionHeader)
	if p.Read != "" { // else it becomes health.version
		s.wantURLPath(p.Read, "probe.read")
	}
	if p.Slow != "" {
		s.wantURLPath(p.Slow, "probe.slow")
	}
	if p.Write != nil {
		s.wantURLPath(p.Write.Post, "probe.write.post")
		s.want(p.Write.Body != "", "probe.write.body", "is empty")
	}
}

func (s *source) checkEnv(e *Env) {
	for key := range e.Env {
		path := "env." + key
		s.wantVariable(key, path, s.keyPlace(path))
		s.wantKey(!slices.Contains(e.Secrets.Required, key), path,
			"%s is also one of secrets.required; a value has one home", key)
	}
}

func (s *source) checkSecrets(secrets Secrets) {
	for i, secret := range secrets.Required {
		path := element("secrets.required", i)
		if s.faulty(path) {
			continue
		}
		s.wantVariable(secret, path, s.values[path])
		s.want(slices.Index(secrets.Required, secret) == i, path, "%s stands in the list already", secret)
	}
}

func (s *source) checkMigrations(e *Env) {
	m := e.Migrations
	s.wantLocal(m.Dir, "migrations.dir")
	s.want(m.Engine == "postgres", "migrations.engine", `%q is not supported; there is only "postgres"`, m.Engine)
	s.want(s.faulty("secrets.required") || slices.Contains(e.Secrets.Required, m.DSN), "migrations.dsn",
		"%q is not one of secrets.required", m.DSN)
	s.want(imageName.MatchString(m.Image), "migrations.image", "%q is not an image such as postgres:17", m.Image)
	if b := m.Backup; b != nil {
		s.want(imageName.MatchString(b.Image), "migrations.backup.image", "%q is not an image such as postgres:17", b.Image)
		s.want(len(b.Command) > 0 && b.Command[0] != "", "migrations.backup.command", "has no program to run")
	}
}

func (s *source) checkTest(test *Test) {
	s.want(imageName.MatchString(test.Image), "test.image", "%q is not an image such as golang:1.26", test.Image)
	s.wantLocal(test.Dir, "test.dir")
	s.want(len(test.Command) > 0 && test.Command[0] != "", "test.command", "has no program to run")
}

func (s *source) checkSmoke(smoke *Smoke) {
	s.wantKey((smoke.Package == "") != (smoke.Image == ""), "smoke", "needs either package or image")
	s.want(smoke.Image == "" || imageName.MatchString(smoke.Image), "smoke.image", "%q is not an image such as grafana/k6:1.3.0", smoke.Image)
	s.want(smoke.Package == "" || strings.HasPrefix(smoke.Package, "./"), "smoke.package", `%q does not begin with "./"`, smoke.Package)
	if smoke.Package != "" {
		s.wantLocal(smoke.Package, "smoke.package")
	}
	s.wantKey(len(smoke.Command) == 0 || smoke.Image != "", "smoke.command", "is the program of smoke.image; Go tests need none")
	s.wantPositive(smoke.Timeout, "smoke.timeout")
	s.wantBetween(smoke.Retries, 0, 10, "smoke.retries")
}

// placeholders are what a query may leave to the run, as ${NAME}; package plan fills
// them in.
var placeholders = []string{"app", "namespace", "colour", "release", "version"}

var placeholder = regexp.MustCompile(`\$\{([^}]*)\}?`)

func (s *source) checkMetrics(m *Metrics) {
	at, err := url.Parse(m.Prometheus)
	s.want(err == nil && (at.Scheme == "http" || at.Scheme == "https") && at.Hostname() != "" && at.User == nil && at.RawQuery == "",
		"metrics.prometheus", "%q is not an address such as http://prometheus.monitoring:9090", m.Prometheus)
}

func (s *source) checkQueries(b Bake) {
	s.wantPositive(b.Interval, "bake.interval")
	if len(b.Queries) > 0 {
		s.want(b.Interval <= b.For, "bake.interval", "%s is more than bake.for, which is %s: there would be no answer to judge by", short(b.Interval), short(b.For))
	}
	for _, name := range slices.Sorted(maps.Keys(b.Queries)) {
		q, path := b.Queries[name], join("bake.queries", name)
		if !label.MatchString(name) {
			s.rejectAt(s.keyPlace(path), path, "%q is not a name of lower-case letters, digits and dashes", name)
		}
		s.wantKey(q.Min != nil || q.Max != nil, path, "has no bound; give min, max or both")
		s.want(q.Min == nil || q.Max == nil || *q.Min <= *q.Max, join(path, "min"), "is more than max")
		s.wantBetween(q.Tolerate, 0, 1000, join(path, "tolerate"))
		s.want(q.NoData == "" || q.NoData == "fail" || q.NoData == "pass", join(path, "noData"), `%q is neither "fail" nor "pass"`, q.NoData)
		for _, found := range placeholder.FindAllStringSubmatch(q.PromQL, -1) {
			s.want(slices.Contains(placeholders, found[1]) && strings.HasSuffix(found[0], "}"), join(path, "promql"),
				"%s stands for nothing; there are ${%s}", found[0], strings.Join(placeholders, "}, ${"))
		}
	}
}

func (s *source) checkTimes(e *Env) {
	if e.Migrations != nil {
		s.wantPositive(e.Migrations.Timeout, "migrations.timeout")
		s.want(e.Migrations.RollbackWindow >= 0, "migrations.rollbackWindow", "%s is negative", short(e.Migrations.RollbackWindow))
		if e.Migrations.Backup != nil {
			s.wantPositive(e.Migrations.Backup.Timeout, "migrations.backup.timeout")
		}
	}
	s.wantPositive(e.Raise.Timeout, "raise.timeout")
	s.wantPositive(e.Verify.Timeout, "verify.timeout")
	s.wantPositive(e.Probe.Timeout, "probe.timeout")
	s.want(e.Probe.P99 >= 0, "probe.p99", "%s is negative", short(e.Probe.P99))
	s.want(e.Probe.P99 < e.Probe.Timeout, "probe.p99", "%s is not less than probe.timeout, which is %s", short(e.Probe.P99), short(e.Probe.Timeout))
	s.want(e.Switch.Overlap >= 0, "switch.overlap", "%s is negative", short(e.Switch.Overlap))
	s.want(e.Bake.For >= 0, "bake.for", "%s is negative", short(e.Bake.For))

	sleep, grace := e.Shutdown.Sleep, e.Shutdown.Grace
	s.want(sleep >= 0, "shutdown.sleep", "%s is negative", short(sleep))
	s.wantPositive(grace, "shutdown.grace")
	s.want(sleep%time.Second == 0, "shutdown.sleep", "%s is not in whole seconds; Kubernetes counts no finer", short(sleep))
	s.want(grace%time.Second == 0, "shutdown.grace", "%s is not in whole seconds; Kubernetes counts no finer", short(grace))
	if s.faulty("shutdown") {
		return
	}
	if s.given("shutdown.sleep") {
		s.want(sleep < grace, "shutdown.sleep", "%s is not less than shutdown.grace, which is %s", short(sleep), short(grace))
	} else {
		s.want(sleep < grace, "shutdown.grace", "%s is not more than shutdown.sleep, which is %s", short(grace), short(sleep))
	}
}

func (s *source) wantBetween(number, least, most int, path string) {
	s.want(least <= number && number <= most, path, "%d is not between %d and %d", number, least, most)
}

func (s *source) wantPositive(d time.Duration, path string) {
	s.want(d > 0, path, "%s is not positive", short(d))
}

// wantURLPath wants what follows the host in an address.
func (s *source) wantURLPath(value, at string) {
	s.want(strings.HasPrefix(value, "/") && !strings.ContainsAny(value, " \t\r\n#"), at,
		"%q is not a path such as /readyz", value)
}

// wantLocal wants a path that stays inside the repository.
func (s *source) wantLocal(value, at string) {
	s.want(value != "" && !path.IsAbs(value) && !slices.Contains(strings.Split(value, "/"), ".."), at,
		"%q is not a path inside the repository", value)
}

// wantVariable wants the name of an environment variable that is the user's to set.
func (s *source) wantVariable(name, path string, at place) {
	if !variable.MatchString(name) {
		s.rejectAt(at, path, "%q is not the name of a variable: letters, digits and underscores", name)
	} else if strings.HasPrefix(name, "CUTOVER_") {
		s.rejectAt(at, path, "names that start with CUTOVER_ are cutover's own")
	}
}

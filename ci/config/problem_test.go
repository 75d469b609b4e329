package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"cutover.dev/ci/outcome"
)

// problems returns what Load finds to be wrong with a file.
func problems(t *testing.T, file string) Problems {
	t.Helper()
	_, err := Load(repository(file), "dev")
	require.Error(t, err)
	require.Equal(t, outcome.Refused, outcome.CodeOf(err))
	found, ok := errors.AsType[Problems](err)
	require.True(t, ok, "%v", err)
	return found
}

func TestAllProblemsComeAtOnceInTheOrderOfTheFile(t *testing.T) {
	_, err := Load(repository(`app: Notes
namespace: notes-dev
image:
  repository: registry.example.com/notes:1.0
  build: {contxt: ., dockerfile: ../Dockerfile}
port: 80800
replicas: three
replica: 3
migrations:
  dir: sql
secrets: {required: [DATABASE_URL]}
shutdown: {sleep: 1m}
port: 8080
`), "dev")
	require.Equal(t, `envs/dev.yaml:1:6: app: "Notes" is not a name of at most 40 lower-case letters, digits and dashes that starts with a letter
    1 | app: Notes
      |      ^
envs/dev.yaml:4:15: image.repository: "registry.example.com/notes:1.0" has a tag; cutover adds each release's own
    4 |   repository: registry.example.com/notes:1.0
      |               ^
envs/dev.yaml:5:11: unknown key "image.build.contxt"; did you mean "image.build.context"?
    5 |   build: {contxt: ., dockerfile: ../Dockerfile}
      |           ^
envs/dev.yaml:5:34: image.build.dockerfile: "../Dockerfile" is not a path inside the repository
    5 |   build: {contxt: ., dockerfile: ../Dockerfile}
      |                                  ^
envs/dev.yaml:6:7: port: 80800 is not between 1 and 65535
    6 | port: 80800
      |       ^
envs/dev.yaml:7:11: replicas: "three" is not a whole number
    7 | replicas: three
      |           ^
envs/dev.yaml:8:1: unknown key "replica"; did you mean "replicas"?
    8 | replica: 3
      | ^
envs/dev.yaml:9:1: missing: migrations.dsn
    9 | migrations:
      | ^
envs/dev.yaml:12:19: shutdown.sleep: 1m is not less than shutdown.grace, which is 45s
   12 | shutdown: {sleep: 1m}
      |                   ^
envs/dev.yaml:13:1: duplicate key "port"; it stands in line 6 already
   13 | port: 8080
      | ^
  now:  nothing was changed
  next: dagger call check --env=dev`, outcome.Explain(err))
}

func TestTheCaretStandsUnderTheColumn(t *testing.T) {
	for name, problem := range map[string]Problem{
		"f:1:1: x\n    1 | a\n      | ^":         {"f", 1, 1, "x", "a"},
		"f:123:3: x\n  123 | ä: b\n      |   ^":  {"f", 123, 3, "x", "ä: b"},
		"f:1:4: x\n    1 | a\tbc\n      |  \t ^": {"f", 1, 4, "x", "a\tbc"},
		"f:1:1: x\n    1 |\n      | ^":           {"f", 1, 1, "x", ""},
		"f:123456:1: x\n123456 | a\n       | ^":  {"f", 123456, 1, "x", "a"},
		"f:1:6: x\n    1 | a: b\n      |      ^": {"f", 1, 6, "x", "a: b"},
	} {
		require.Equal(t, name, problem.String())
	}
}

// TestEachProblemIsSaidOnceInPlainWords adds lines to a file that is complete, or
// replaces it, and expects the place and the message of each problem.
func TestEachProblemIsSaidOnceInPlainWords(t *testing.T) {
	for _, test := range []struct {
		promise string
		whole   string // the file, or
		added   string // what stands after its line 4
		want    []string
	}{
		{promise: "a file that is not YAML is one problem", whole: "app: [notes\n",
			want: []string{`1:6: this is not YAML: sequence end token ']' not found`}},
		{promise: "tabs are shown", whole: "image:\n\trepository: x\n",
			want: []string{`2:1: this is not YAML: found character '\t' that cannot start any token`}},
		{promise: "UTF-8 is needed", whole: "app: notes\nname: \xff\n",
			want: []string{`2:7: the file is not text in UTF-8`}},
		{promise: "an empty file lacks keys", whole: "",
			want: []string{`1:1: missing: app, namespace, image.repository, port`}},
		{promise: "a list is no environment", whole: "- app: notes\n",
			want: []string{`1:1: the file is a list, not a map of keys and values`}},
		{promise: "text is no environment", whole: "notes\n",
			want: []string{`1:1: the file is "notes", not a map of keys and values`}},
		{promise: "a second document is refused", added: "---\napp: other\n",
			want: []string{`5:1: a second document starts here; a file describes one environment`}},
		{promise: "a directive is refused", whole: "%YAML 1.2\n---\n" + least,
			want: []string{`1:1: directives (%) are not supported; remove the line`}},

		{promise: "anchors, aliases, tags and merge keys are refused",
			added: "env: &e {A: a}\nsecrets: *e\nhealth: {ready: !!str /r, <<: *e}\n",
			want: []string{`5:6: env: anchors (&name) are not supported; write the value where it is used`,
				`6:10: secrets: aliases (*name) are not supported; write the value itself`,
				`7:17: health.ready: tags (!name) are not supported; write the value alone`,
				`7:26: merge keys (<<) are not supported; write the keys themselves`}},
		{promise: "a key is plain text", added: "env: {1: a, ? B : c}\n",
			want: []string{`5:7: 1 is not a key; a key is plain text`, `5:13: ? is not a key; a key is plain text`}},
		{promise: "a key twice names the first line", added: "replicas: 2\nenv:\n  A: a\n  A: b\nreplicas: 3\n",
			want: []string{`8:3: duplicate key "env.A"; it stands in line 7 already`,
				`9:1: duplicate key "replicas"; it stands in line 5 already`}},
		{promise: "a key needs a value", added: "env:\nreplicas: ~\nsecrets: {required: [null]}\n",
			want: []string{`5:5: env: has no value; give it one or remove the key`,
				`6:11: replicas: has no value; give it one or remove the key`,
				`7:22: secrets.required[0]: has no value; give it one or remove the key`}},

		{promise: "an unknown key names the keys there are", added: "raise: {colour: blue}\n",
			want: []string{`5:9: unknown key "raise.colour"; there are: timeout, restarts`}},
		{promise: "an unknown key names the place where it belongs", added: "dockerfile: example/Dockerfile\n",
			want: []string{`5:1: unknown key "dockerfile"; did you mean "image.build.dockerfile"?`}},
		{promise: "dots do not join keys", added: "raise.timeout: 1m\nraise: {timeout: 1m}\n",
			want: []string{`5:1: unknown key "raise.timeout"; keys stand inside each other, they are not joined by dots`}},
		{promise: "control characters are not printed", added: "env: {\"a\\nb\\e\": x}\n",
			want: []string{"5:7: env.a�b�: \"a\\nb\\x1b\" is not the name of a variable: letters, digits and underscores"}},
		{promise: "places are right in files from Windows", whole: "# ä\r\napp: a\r\nnamespace: >-\r\n  a\r\nimage: {repository: r.io/n}\r\nport: é\r\n",
			want: []string{`6:7: port: "é" is not a whole number`}},
		{promise: "places are right behind text of several lines",
			added: "env:\n  A: |\n    one\n\n    two\n  B: \"one\n    two\"\n  C: one\n    two # comment\n  # comment\n  D: 5\n",
			want:  []string{`15:6: env.D: 5 is a number in YAML; quote it: "5"`}},
		{promise: "other spellings are understood", added: "Replicas: 3\n",
			want: []string{`5:1: unknown key "Replicas"; did you mean "replicas"?`}},
		{promise: "a misspelt key is not also missing", whole: "ap: notes\nnamespace: a\nimage: {repositry: r.io/n}\nport: 1\n",
			want: []string{`1:1: unknown key "ap"; did you mean "app"?`,
				`3:9: unknown key "image.repositry"; did you mean "image.repository"?`}},
		{promise: "what is missing in a group is reported at the group", added: "test: {}\nmigrations:\n  engine: postgres\n",
			want: []string{`5:1: missing: test.image, test.command`, `6:1: missing: migrations.dir, migrations.dsn`}},

		{promise: "queries need an address and time to be asked", added: "bake: {for: 5s, queries: {a: {promql: x, max: 1}}}\nmetrics: {prometheus: prometheus:9090}\n",
			want: []string{`5:1: bake.interval: 10s is more than bake.for, which is 5s: there would be no answer to judge by`,
				`6:23: metrics.prometheus: "prometheus:9090" is not an address such as http://prometheus.monitoring:9090`}},
		{promise: "queries need somebody to ask", added: "bake: {queries: {a: {promql: x, max: 1}}}\n",
			want: []string{`1:1: missing: metrics.prometheus`}},
		{promise: "a query is bounded and knows what it asks about",
			added: "metrics: {prometheus: http://p}\nbake:\n  queries:\n    a: {promql: x}\n    B: {promql: x, max: 1}\n    c: {max: 1}\n    d: {promql: '${colur}', min: 2, max: 1, noData: skip}\n",
			want: []string{`8:5: bake.queries.a: has no bound; give min, max or both`,
				`9:5: bake.queries.B: "B" is not a name of lower-case letters, digits and dashes`,
				`10:5: missing: bake.queries.c.promql`,
				`11:17: bake.queries.d.promql: ${colur} stands for nothing; there are ${app}, ${namespace}, ${colour}, ${release}, ${version}`,
				`11:34: bake.queries.d.min: is more than max`,
				`11:53: bake.queries.d.noData: "skip" is neither "fail" nor "pass"`}},
		{promise: "a bound is a number", added: "metrics: {prometheus: http://p}\nbake: {queries: {a: {promql: x, min: low, max: '1'}}}\n",
			want: []string{`6:38: bake.queries.a.min: "low" is not a number`, `6:48: bake.queries.a.max: "1" is text, not a number; remove the quotes`}},
		{promise: "a number is whole and plain", added: "replicas: 2.5\nverify: {answers: 010}\n",
			want: []string{`5:11: replicas: 2.5 is not a whole number`, `6:19: verify.answers: 010 can be misread; write 10`}},
		{promise: "a number has no quotes", added: "replicas: \"3\"\n",
			want: []string{`5:11: replicas: "3" is text, not a whole number; remove the quotes`}},
		{promise: "a boolean, a map and a list are no numbers", added: "replicas: true\nverify: {answers: [1]}\n",
			want: []string{`5:11: replicas: true is not a whole number`, `6:19: verify.answers: a list is not a whole number`}},
		{promise: "a duration has a unit", added: "raise: {timeout: 30}\nverify: {timeout: soon}\nshutdown: {grace: 1d}\n",
			want: []string{`5:18: raise.timeout: 30 has no unit; write 30s for seconds`,
				`6:19: verify.timeout: "soon" is not a duration, such as 30s, 5m or 1h30m`,
				`7:19: shutdown.grace: "1d" is not a duration, such as 30s, 5m or 1h30m`}},
		{promise: "a list is a list", added: "secrets: {required: DATABASE_URL}\n",
			want: []string{`5:21: secrets.required: "DATABASE_URL" is not a list, such as [a, b]`}},
		{promise: "a map is a map", added: "health: /readyz\nenv: [A, B]\n",
			want: []string{`5:9: health: "/readyz" is not a map of keys and values`,
				`6:6: env: a list is not a map of keys and values`}},
		{promise: "text is text", added: "env:\n  A: {b: c}\n  D: [e]\n",
			want: []string{`6:6: env.A: a map is not text`, `7:6: env.D: a list is not text`}},
		{promise: "what YAML changes is quoted", added: "env: {A: 010, B: yes, C: true, D: 1e3, E: 1.20, F: .5, G: 0x1F, H: Off, I: -1, J: .inf}\n",
			want: []string{`5:10: env.A: 010 is a number in YAML; quote it: "010"`,
				`5:18: env.B: yes is a boolean in YAML; quote it: "yes"`,
				`5:26: env.C: true is a boolean in YAML; quote it: "true"`,
				`5:35: env.D: 1e3 is a number in YAML; quote it: "1e3"`,
				`5:43: env.E: 1.20 is a number in YAML; quote it: "1.20"`,
				`5:52: env.F: .5 is a number in YAML; quote it: ".5"`,
				`5:59: env.G: 0x1F is a number in YAML; quote it: "0x1F"`,
				`5:68: env.H: Off is a boolean in YAML; quote it: "Off"`,
				`5:76: env.I: -1 is a number in YAML; quote it: "-1"`,
				`5:83: env.J: .inf is a number in YAML; quote it: ".inf"`}},

		{promise: "names are DNS labels", whole: "app: 1notes\nnamespace: Notes\nimage: {repository: r.io/n, pullSecret: a_b}\nport: 1\n",
			want: []string{`1:6: app: "1notes" is not a name of at most 40 lower-case letters, digits and dashes that starts with a letter`,
				`2:12: namespace: "Notes" is not a name of at most 63 lower-case letters, digits and dashes`,
				`3:41: image.pullSecret: "a_b" cannot be the name of a Secret`}},
		{promise: "an app of 41 letters is too long", whole: "app: abcdefghijabcdefghijabcdefghijabcdefghijk\nnamespace: a\nimage: {repository: r.io/n}\nport: 1\n",
			want: []string{`1:6: app: "abcdefghijabcdefghijabcdefghijabcdefghijk" is not a name of at most 40 lower-case letters, digits and dashes that starts with a letter`}},
		{promise: "numbers have bounds", whole: "app: a\nnamespace: a\nimage: {repository: r.io/n}\nport: 0\nreplicas: 1001\nverify: {answers: -1}\n",
			want: []string{`4:7: port: 0 is not between 1 and 65535`, `5:11: replicas: 1001 is not between 1 and 1000`,
				`6:19: verify.answers: -1 is not between 1 and 10000`}},
		{promise: "variables have C names, of the user's own, and one home",
			added: "env: {a-b: x, CUTOVER_X: x, KEY: x}\nsecrets: {required: [KEY, CUTOVER_Y, 1A, KEY]}\n",
			want: []string{`5:7: env.a-b: "a-b" is not the name of a variable: letters, digits and underscores`,
				`5:15: env.CUTOVER_X: names that start with CUTOVER_ are cutover's own`,
				`5:29: env.KEY: KEY is also one of secrets.required; a value has one home`,
				`6:27: secrets.required[1]: names that start with CUTOVER_ are cutover's own`,
				`6:38: secrets.required[2]: "1A" is not the name of a variable: letters, digits and underscores`,
				`6:42: secrets.required[3]: KEY stands in the list already`}},
		{promise: "health paths start with a slash", added: "health: {ready: readyz, live: /a b, version: \"\"}\n",
			want: []string{`5:17: health.ready: "readyz" is not a path such as /readyz`,
				`5:31: health.live: "/a b" is not a path such as /readyz`,
				`5:46: health.version: "" is not a path such as /readyz`}},
		{promise: "resources are Kubernetes quantities, requests within limits",
			added: "resources:\n  requests: {cpu: 2, memory: 64MB, gpu: 1Gi}\n  limits: {cpu: 500m, memory: 128m, ephemeral-storage: -1Gi}\n",
			want: []string{`6:19: resources.requests.cpu: 2 is a number in YAML; quote it: "2"`,
				`6:30: resources.requests.memory: "64MB" is not a quantity such as 100m or 64Mi`,
				`6:36: resources.requests.gpu: there are only cpu, memory and ephemeral-storage`,
				`7:31: resources.limits.memory: 128m is less than a byte, m being a thousandth; write Mi for mebibytes`,
				`7:56: resources.limits.ephemeral-storage: -1Gi is negative`}},
		{promise: "requests are not more than limits", added: "resources:\n  requests: {cpu: \"1\", memory: 1Gi}\n  limits: {cpu: 1000m, memory: 1023Mi}\n",
			want: []string{`6:32: resources.requests.memory: 1Gi is more than resources.limits.memory, which is 1023Mi`}},
		{promise: "migrations fit together", added: "migrations: {dir: /sql, engine: mysql, dsn: DSN, timeout: 0s}\n",
			want: []string{`5:19: migrations.dir: "/sql" is not a path inside the repository`,
				`5:33: migrations.engine: "mysql" is not supported; there is only "postgres"`,
				`5:45: migrations.dsn: "DSN" is not one of secrets.required`,
				`5:59: migrations.timeout: 0s is not positive`}},
		{promise: "a backup has a program, and nothing is negative", added: "secrets: {required: [DSN]}\nmigrations: {dir: sql, dsn: DSN, rollbackWindow: -1s, backup: {image: \"a b\", command: [\"\"], timeout: 0s}}\n",
			want: []string{`6:50: migrations.rollbackWindow: -1s is negative`, `6:71: migrations.backup.image: "a b" is not an image such as postgres:17`,
				`6:87: migrations.backup.command: has no program to run`, `6:102: migrations.backup.timeout: 0s is not positive`}},
		{promise: "a list of secrets that is wrong says nothing about the dsn",
			added: "secrets: {required: [a-b]}\nmigrations: {dir: sql, dsn: DSN}\n",
			want:  []string{`5:22: secrets.required[0]: "a-b" is not the name of a variable: letters, digits and underscores`}},
		{promise: "tests have an image and a program", added: "test: {image: \"a b\", dir: a/../.., command: []}\n",
			want: []string{`5:15: test.image: "a b" is not an image such as golang:1.26`,
				`5:27: test.dir: "a/../.." is not a path inside the repository`,
				`5:45: test.command: has no program to run`}},
		{promise: "build arguments have C names and VERSION is taken", whole: "app: a\nnamespace: a\nimage:\n  repository: r.io/n\n  build: {args: {VERSION: x, a-b: c}}\nport: 1\n",
			want: []string{`5:18: image.build.args.VERSION: cutover sets VERSION itself; remove it`,
				`5:30: image.build.args.a-b: the name of a build argument is letters, digits and underscores`}},
		{promise: "times go forward", added: "raise: {timeout: -1s}\nverify: {timeout: 0s}\nshutdown: {sleep: -1s, grace: 0s}\n",
			want: []string{`5:18: raise.timeout: -1s is not positive`, `6:19: verify.timeout: 0s is not positive`,
				`7:19: shutdown.sleep: -1s is negative`, `7:31: shutdown.grace: 0s is not positive`}},
		{promise: "pods count whole seconds", added: "shutdown: {sleep: 1500ms, grace: 30.5s}\n",
			want: []string{`5:19: shutdown.sleep: 1.5s is not in whole seconds; Kubernetes counts no finer`,
				`5:34: shutdown.grace: 30.5s is not in whole seconds; Kubernetes counts no finer`}},
		{promise: "an impossible pair is reported at the key that is there", added: "shutdown: {grace: 5s}\n",
			want: []string{`5:19: shutdown.grace: 5s is not more than shutdown.sleep, which is 5s`}},
	} {
		t.Run(test.promise, func(t *testing.T) {
			file := test.whole
			if test.added != "" {
				file = least + test.added
			}
			require.Equal(t, test.want, heads(problems(t, file)))
		})
	}
}

// heads returns the first line of each problem without the file's name.
func heads(problems Problems) []string {
	var heads []string
	for _, p := range problems {
		head, _, _ := strings.Cut(p.String(), "\n")
		heads = append(heads, strings.TrimPrefix(head, "envs/dev.yaml:"))
	}
	return heads
}

func TestRepositoriesCarryNoSchemeTagOrDigest(t *testing.T) {
	for repository, want := range map[string]string{
		"https://r.io/n":    `"https://r.io/n" has a scheme; leave it out`,
		"r.io/n:1":          `"r.io/n:1" has a tag; cutover adds each release's own`,
		"r.io/n@sha256:abc": `"r.io/n@sha256:abc" has a digest; cutover adds each release's own`,
		"r.io/Notes":        `"r.io/Notes" is not a repository such as registry.example.com/notes`,
		"r.io/a b":          `"r.io/a b" is not a repository such as registry.example.com/notes`,
		"/n":                `"/n" is not a repository such as registry.example.com/notes`,
		"r.io/n/":           `"r.io/n/" is not a repository such as registry.example.com/notes`,
		"r.io//n":           `"r.io//n" is not a repository such as registry.example.com/notes`,
		"r.io/-n":           `"r.io/-n" is not a repository such as registry.example.com/notes`,
	} {
		file := fmt.Sprintf("app: a\nnamespace: a\nport: 1\nimage: {repository: %q}\n", repository)
		require.Equal(t, []string{"4:21: image.repository: " + want}, heads(problems(t, file)))
	}
	for _, repository := range []string{"registry.example.com/notes", "localhost:5000/a/b", "acme/notes", "10.0.0.1:5000/n"} {
		load(t, fmt.Sprintf("app: a\nnamespace: a\nport: 1\nimage: {repository: %q}\n", repository))
	}
}

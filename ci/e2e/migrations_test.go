//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"cutover.dev/ci/e2e/stage"
	"cutover.dev/ci/migrate"
	"cutover.dev/ci/outcome"
	"cutover.dev/ci/probe"
	"cutover.dev/ci/release"
)

// schema is a stage whose application changes its database from version to version.
type schema struct {
	turns
	*schemaVersions
	db *sql.DB
}

// schemaVersions are the published versions, each with the migrations that its
// bundle has.
type schemaVersions struct {
	published map[string]stage.Version
	folders   map[string]string
}

// What may happen to a migration, one after the other on one database.
func TestMigrationsSurviveWhatHappensToThem(t *testing.T) {
	t.Parallel()
	s := schema{turns: turns{Stage: newStage(t, "notes-e2e-schema"), t: t}, schemaVersions: &schemaVersions{map[string]stage.Version{}, map[string]string{}}}
	require.NoError(t, s.Build(t.Context()))
	db, stop, err := s.Database(t.Context(), "report")
	require.NoError(t, err)
	t.Cleanup(stop)
	s.db = db
	s.publish("1", "00010_gate.sql", "-- +goose Up\nCREATE TABLE gate (id int);")
	require.Zero(t, s.end(s.deploy("1")).Code)
	require.Equal(t, int64(10), record(t, s.Stage).Schema)

	for _, part := range []struct {
		name string
		run  func(schema)
	}{
		{"a blocked ALTER is tried again and holds up no user", schema.blocked},
		{"a killed pod and a killed client in the middle of a statement", schema.killed},
		{"a killed pod in the middle of a concurrent index", schema.index},
		{"four runners at once apply each migration once", schema.crowd},
		{"what is not as it was left stops a deploy before anything is touched", schema.drifted},
		{"a change in two phases, with a rollback before it and none after it", schema.phases},
	} {
		if !t.Run(part.name, func(t *testing.T) {
			mine := s
			mine.t = t
			part.run(mine)
		}) {
			return // what comes after it builds on it
		}
	}
}

// publish pushes a version that brings one more migration.
func (s schema) publish(version, file, up string) {
	require.NoError(s.t, s.Migration(file, up))
	v, err := s.Publish(s.t.Context(), version)
	require.NoError(s.t, err)
	s.published[version] = v
	s.folders[version], err = s.KeepMigrations(version)
	require.NoError(s.t, err)
}

func (s schema) deploy(version string, more ...string) *stage.Process {
	return s.start(s.published[version], append(more, s.folders[version])...)
}

// holds waits until a query answers true.
func (s schema) holds(query string) {
	require.Eventually(s.t, func() bool {
		var yes bool
		require.NoError(s.t, s.db.QueryRowContext(s.t.Context(), query).Scan(&yes))
		return yes
	}, time.Minute, 50*time.Millisecond, query)
}

func (s schema) count(query string) (n int) {
	require.NoError(s.t, s.db.QueryRowContext(s.t.Context(), query).Scan(&n))
	return n
}

// begin opens a transaction that holds what the statement takes.
func (s schema) begin(statement string) *sql.Tx {
	tx, err := s.db.BeginTx(context.Background(), nil)
	require.NoError(s.t, err)
	_, err = tx.Exec(statement)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

// waiting is whether a migration waits for a lock in a statement.
func waiting(statement string) string {
	return `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'cutover-migrate/%' AND wait_event_type = 'Lock' AND query LIKE '%` + statement + `%')`
}

func (s schema) blocked() {
	s.publish("2", "00020_author.sql", "-- +goose Up\nALTER TABLE notes ADD COLUMN author text;")
	load, err := s.StartLoad(s.t.Context(), s.published["2"].Bundle, stage.Traffic{Name: "users", Rate: 50, Read: "/notes?limit=5", AtMost: 5 * time.Minute})
	require.NoError(s.t, err)
	tx := s.begin("SELECT count(*) FROM notes")
	p := s.deploy("2")
	s.holds(waiting("ADD COLUMN author"))
	s.holds("SELECT NOT (" + waiting("ADD COLUMN author") + ")") // it gave up once
	s.holds(waiting("ADD COLUMN author"))
	require.NoError(s.t, tx.Rollback())
	c := s.end(p)
	require.Zero(s.t, c.Code)
	assert.Regexp(s.t, `00020_author.sql has not got its lock at try 1 of 30; again in `, c.Stderr)
	assert.Regexp(s.t, `held by pid \d+ \(report\), user notes, idle in transaction, its transaction open for \d+ s: SELECT count\(\*\) FROM notes`, c.Stderr)
	rec := record(s.t, s.Stage)
	assert.Equal(s.t, int64(20), rec.Schema)
	assert.Regexp(s.t, `schema 10 -> 20: 00020_author.sql \(at try \d+\)`, rec.Step("migrate").Note)
	seconds, result, err := load.Stop(s.t.Context())
	require.NoError(s.t, err)
	assert.Zero(s.t, result.Failed)
	slowest := slices.MaxFunc(seconds, func(a, b probe.Second) int { return cmp.Compare(a.Max, b.Max) }).Max
	assert.Less(s.t, slowest, 1000.0, "no user waited for a second")
	s.t.Logf("users: %d requests, slowest %.0f ms", result.Sent, slowest)
}

// killMigration kills the pod that migrates, as a node does that has no memory left.
func (s schema) killMigration() {
	require.NoError(s.t, s.Kubectl(s.t.Context(), "delete", "pod", "--selector="+release.LabelRole+"=migrate", "--force", "--grace-period=0"))
}

func (s schema) killed() {
	s.publish("3", "00030_moods.sql", "-- deploy:lock-timeout=2m\n-- +goose Up\nCREATE TABLE moods (id int);\n-- deploy:allow blocks-table reason=\"to be held up here\"\nLOCK TABLE gate;")
	gate := s.begin("LOCK TABLE gate")
	p := s.deploy("3")
	s.holds(waiting("LOCK TABLE gate"))
	s.killMigration()
	c := s.end(p)
	require.Equal(s.t, int(outcome.RolledBack), c.Code)
	serves(s.t, s.Stage, "2")

	p = s.deploy("3")
	s.holds(waiting("LOCK TABLE gate"))
	require.True(s.t, p.Kill())
	p = s.deploy("3")
	require.NoError(s.t, gate.Rollback())
	c = s.end(p)
	require.Zero(s.t, c.Code)
	assert.Contains(s.t, c.Stderr, "did not finish (running): it is settled first")
	serves(s.t, s.Stage, "3")
	assert.Equal(s.t, 1, s.count("SELECT count(*) FROM goose_db_version WHERE version_id = 30"))
	assert.Equal(s.t, int64(30), record(s.t, s.Stage).Schema)
}

func (s schema) index() {
	s.publish("4", "00040_title.sql", "-- +goose NO TRANSACTION\n\n-- +goose Up\nCREATE INDEX CONCURRENTLY notes_title ON notes (title);")
	old := s.begin("INSERT INTO notes (title) VALUES ('begun before the index')")
	p := s.deploy("4")
	s.holds(waiting("CREATE INDEX CONCURRENTLY"))
	s.holds(`SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('notes_title') AND NOT indisvalid)`)
	s.killMigration()
	require.Equal(s.t, int(outcome.RolledBack), s.end(p).Code)
	s.holds(`SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'cutover-migrate/%')`)
	require.NoError(s.t, old.Commit())
	c := s.end(s.deploy("4"))
	require.Zero(s.t, c.Code)
	assert.Contains(s.t, c.Stderr, "the index notes_title is invalid, from a making that was broken off: it is dropped first")
	serves(s.t, s.Stage, "4")
	s.holds(`SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('notes_title')`)
	assert.Equal(s.t, 1, s.count("SELECT count(*) FROM goose_db_version WHERE version_id = 40"))
}

// crowd lets four pods migrate at the same time, as four pipelines would that know
// of no lock.
func (s schema) crowd() {
	require.NoError(s.t, s.Migration("00042_tags.sql", "-- +goose Up\nCREATE TABLE tags (id bigint PRIMARY KEY);"))
	s.publish("4b", "00044_body.sql", "-- +goose NO TRANSACTION\n\n-- +goose Up\nCREATE INDEX CONCURRENTLY notes_body ON notes (left(body, 20));")
	live := record(s.t, s.Stage).ServingRelease().ID
	var names []string
	for i := range 4 {
		names = append(names, fmt.Sprintf("crowd-%d", i))
		_, err := s.Client.CoreV1().Pods(s.Namespace).Create(s.t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: names[i]},
			Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{
				Name: "migrate", Image: s.published["4b"].Bundle, Args: []string{"agent", "migrate", "--release=crowd"},
				EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: stage.Names.Config(live)}}}},
			}}},
		}, metav1.CreateOptions{})
		require.NoError(s.t, err)
	}
	applied := 0
	for _, name := range names {
		require.NoError(s.t, s.Kubectl(s.t.Context(), "wait", "pod/"+name, "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s"))
		log, err := s.Client.CoreV1().Pods(s.Namespace).GetLogs(name, &corev1.PodLogOptions{}).DoRaw(s.t.Context())
		require.NoError(s.t, err)
		result, found := migrate.ParseResult(string(log))
		require.True(s.t, found, "%s", log)
		assert.Equal(s.t, int64(44), result.To, "%s", log)
		applied += len(result.Applied)
	}
	assert.Equal(s.t, 2, applied)
	assert.Equal(s.t, 2, s.count("SELECT count(*) FROM goose_db_version WHERE version_id IN (42, 44)"))
	c := s.end(s.deploy("4b"))
	require.Zero(s.t, c.Code)
	assert.Contains(s.t, record(s.t, s.Stage).Step("migrate").Note, "schema is at 44; nothing to apply")
	serves(s.t, s.Stage, "4b")
}

func (s schema) drifted() {
	_, err := s.db.ExecContext(s.t.Context(), "ALTER TABLE notes ADD COLUMN hand text")
	require.NoError(s.t, err)
	before, entries := headVersion(s.t, s.Stage), s.count("SELECT count(*) FROM cutover_migrations")
	c := s.end(s.deploy("3"))
	require.Equal(s.t, int(outcome.Refused), c.Code)
	assert.Contains(s.t, c.Stderr, "the database has 00040_title.sql, applied by r")
	assert.Contains(s.t, c.Stderr, "the schema was changed by hand since the last migration:\n  new: column public.notes.hand text")
	assert.Contains(s.t, c.Stderr, `--accept-drift="why"`)

	// The same from a repository in which somebody has corrected the past.
	require.NoError(s.t, s.Migration("00020_author.sql", "-- +goose Up\nALTER TABLE notes ADD COLUMN author varchar(80);"))
	require.NoError(s.t, s.Migration("00090_drop.sql", "-- +goose Up\nALTER TABLE notes DROP COLUMN body;"))
	s.publish("bad", "00035_late.sql", "-- +goose Up\nCREATE TABLE late (id int);")
	c = s.end(s.deploy("bad"))
	require.Equal(s.t, int(outcome.Refused), c.Code)
	assert.Contains(s.t, c.Stderr, "00020_author.sql was edited after r")
	assert.Contains(s.t, c.Stderr, "00035_late.sql was never applied, but the later version 44 was")
	assert.Contains(s.t, c.Stderr, "example/migrations/00090_drop.sql:2:1: drops notes.body: the version that serves may still name it")
	assert.Contains(s.t, c.Stderr, "now:  nothing was changed")

	assert.Equal(s.t, before, headVersion(s.t, s.Stage))
	assert.Equal(s.t, entries, s.count("SELECT count(*) FROM cutover_migrations"))
	serves(s.t, s.Stage, "4b")
	_, err = s.db.ExecContext(s.t.Context(), "ALTER TABLE notes DROP COLUMN hand")
	require.NoError(s.t, err)
}

// phases: 00020 brought the column author, and no release after this one uses it.
func (s schema) phases() {
	require.NoError(s.t, s.Unmigrate("00035_late.sql"))
	refused := call(s.t, s.Stage, "migrate", "lint", "--env=dev")
	require.Equal(s.t, int(outcome.Refused), refused.Code)
	require.NoError(s.t, s.Unmigrate("00090_drop.sql"))
	require.NoError(s.t, s.Migration("00020_author.sql", "-- +goose Up\nALTER TABLE notes ADD COLUMN author text;"))
	s.publish("5", "00050_no_author.sql", "-- deploy:phase=contract\n-- +goose Up\nALTER TABLE notes DROP COLUMN author;")
	read := call(s.t, s.Stage, "migrate", "lint", "--env=dev")
	require.Zero(s.t, read.Code)
	assert.Contains(s.t, read.Stdout, "9 files were read: 0 errors, 0 warnings")
	s.rehearsed()
	require.Zero(s.t, s.end(s.deploy("5")).Code)
	status := call(s.t, s.Stage, append(append([]string{"migrate", "status", "--env=dev"}, s.Cluster()...), s.Secrets()...)...)
	require.Zero(s.t, status.Code)
	assert.Regexp(s.t, `(?m)^schema is at 44$`, status.Stdout)
	assert.Regexp(s.t, `(?m)^  deferred  00050_no_author.sql$`, status.Stdout)

	early := s.contract("--versions=50")
	require.Equal(s.t, int(outcome.Refused), early.Code)
	assert.Regexp(s.t, `release r\d+, which uses what these migrations take away, served until `, early.Error())
	rollback := func() stage.Call {
		return call(s.t, s.Stage, append([]string{"rollback", "--env=dev"}, s.Cluster()...)...)
	}
	require.Zero(s.t, rollback().Code)
	serves(s.t, s.Stage, "4b")

	window, err := s.Variant("no-window", stage.Edit{From: "rollbackWindow: 1h", To: "rollbackWindow: 0s"})
	require.NoError(s.t, err)
	require.Zero(s.t, s.end(s.deploy("5", window)).Code)
	unnamed := s.contract()
	require.Equal(s.t, int(outcome.Refused), unnamed.Code)
	assert.Contains(s.t, unnamed.Error(), "which contract migrations? These wait: 00050_no_author.sql")
	done := s.contract("--versions=50")
	require.Zero(s.t, done.Code)
	assert.Contains(s.t, done.Stdout, "older releases are no targets for a rollback any more")
	rec := record(s.t, s.Stage)
	assert.Equal(s.t, release.Contract, rec.Kind)
	assert.Contains(s.t, rec.RestorePoint, "LSN ")
	assert.Zero(s.t, s.count("SELECT count(*) FROM information_schema.columns WHERE table_name = 'notes' AND column_name = 'author'"))

	late := rollback()
	require.Equal(s.t, int(outcome.Refused), late.Code)
	assert.Regexp(s.t, `the contract migration 50 took from the database what release r\d+ uses`, late.Error())
	serves(s.t, s.Stage, "5")
}

// rehearsed plays the migrations as a pull request would: what the test's files call
// their way back takes nothing back, and that is found.
func (s schema) rehearsed() {
	c := call(s.t, s.Stage, "migrate", "rehearse", "--env=dev")
	require.Equal(s.t, int(outcome.Refused), c.Code)
	assert.Contains(s.t, c.Error(), "00001_notes.sql: up, down and up again")
	assert.Contains(s.t, c.Error(), "00002_notes_created_at_index.sql: up, down and up again")
	assert.Contains(s.t, c.Error(), `00010_gate.sql: up again failed: `)
	assert.Contains(s.t, c.Error(), "after the way back: new: table public.gate")
}

func (s schema) contract(more ...string) stage.Call {
	return call(s.t, s.Stage, append(append([]string{"migrate", "contract", "--env=dev"}, s.Cluster()...), more...)...)
}

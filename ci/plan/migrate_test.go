package plan

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"cutover.dev/ci/config"
	"cutover.dev/ci/migrate"
	"cutover.dev/ci/migrate/lint"
	"cutover.dev/ci/release"
)

func TestALookChangesNothingAndIsGoneByItself(t *testing.T) {
	in := offer()
	in.AcceptDrift = "the index was an emergency"
	job := CheckJob(made(), "notes-check-x", in)
	require.NotNil(t, job.Spec.TTLSecondsAfterFinished)
	require.Equal(t, int64(60), *job.Spec.ActiveDeadlineSeconds)
	require.Equal(t, int32(0), *job.Spec.BackoffLimit)
	require.Equal(t, "check", job.Spec.Template.Labels[release.LabelRole])
	require.NotContains(t, job.Spec.Template.Labels, release.LabelServes)
	spec := job.Spec.Template.Spec
	require.Len(t, spec.Containers, 2)
	pulled, database := spec.Containers[0], spec.Containers[1]
	require.Equal(t, made().Image, pulled.Image)
	require.Empty(t, pulled.Env)
	require.Empty(t, pulled.EnvFrom, "the application's image is not given a secret to look at")
	require.Equal(t, made().Bundle, database.Image)
	require.Equal(t, []string{"agent", "migrate", "status"}, database.Args[:3])
	require.Contains(t, database.Args, "--accept-drift")
	require.NotContains(t, database.Args, "--allow-older")

	job.UID = "u"
	secret := CheckSecret(made(), job, map[string]string{"DATABASE_URL": secretValue, "OTHER": "other-secret"})
	require.Equal(t, map[string][]byte{"DATABASE_URL": []byte(secretValue)}, secret.Data, "only what is needed")
	require.Equal(t, []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: "notes-check-x", UID: "u"}}, secret.OwnerReferences)
}

func TestALookLeavesOutWhatThereIsNot(t *testing.T) {
	r := made()
	r.Image = ""
	require.Len(t, CheckJob(r, "x", offer()).Spec.Template.Spec.Containers, 1)
	r = made()
	r.Env.Migrations = nil
	require.Len(t, CheckJob(r, "x", offer()).Spec.Template.Spec.Containers, 1)
}

func TestNoSecretIsInAJob(t *testing.T) {
	rec := &release.Record{Number: 7, Release: made(), Reasons: map[string]string{"allow-older": "withdrawn"}}
	rec.Release.Env.Migrations.Backup = &config.Backup{Image: "postgres:17", Command: []string{"pg_dump"}, Timeout: time.Minute}
	for _, job := range []*batchv1.Job{CheckJob(made(), "x", offer()), MigrateJob(rec), ContractJob(rec, []int64{7, 9}), BackupJob(rec)} {
		data, err := json.Marshal(job)
		require.NoError(t, err)
		require.NotContains(t, string(data), "correct-horse")
		require.Equal(t, int32(0), *job.Spec.BackoffLimit, "what failed is looked at, not repeated")
	}
	require.Contains(t, ContractJob(rec, []int64{7, 9}).Spec.Template.Spec.Containers[0].Args, "--contract=7,9")
	require.Contains(t, MigrateJob(rec).Spec.Template.Spec.Containers[0].Args, "--allow-older")
	backup := BackupJob(rec).Spec.Template.Spec.Containers[0]
	require.Equal(t, []string{"pg_dump"}, backup.Command)
	require.Len(t, backup.EnvFrom, 2, "it has the release's configuration and secrets")
	require.Nil(t, backup.SecurityContext.RunAsNonRoot, "its image may need more than the bundle's")
}

func TestWhatALookFoundIsInThePlan(t *testing.T) {
	in, seen := next(), after(offer())
	seen.Checked = Checked{Unpullable: "ImagePullBackOff: 401", Database: &migrate.State{
		Version: 4, Pending: []string{"5_x.sql"}, Deferred: []string{"3_y.sql"}, Contracted: []int64{2},
		Problems: []migrate.Problem{{What: "4_z.sql was edited", Next: "git log -- 4_z.sql"}}, Notes: []string{"pid 7 holds notes"},
	}}
	p := Make(in, seen)
	require.Equal(t, []Finding{
		{"the cluster cannot pull the image " + in.Image + ": ImagePullBackOff: 401", "check that the cluster may read the registry (image.pullSecret names the Secret with the account), then the same command again"},
		{"4_z.sql was edited", "git log -- 4_z.sql"},
	}, p.Findings)
	require.Equal(t, []string{"pid 7 holds notes"}, p.Notes)
	require.Contains(t, p.Text(), "  migrations  schema is at 4; to apply: 5_x.sql; deferred: 3_y.sql\n")
	require.Equal(t, int64(4), p.Schema)
	require.Equal(t, []int64{2}, p.Contracted)

	before := p.Hash
	seen.Database.Pending = append(seen.Database.Pending, "6_w.sql")
	require.NotEqual(t, before, Make(in, seen).Hash, "who approves a plan approves its migrations")

	seen.Checked = Checked{Trouble: "the database cannot be used: no route", Pulling: true}
	seen.Record.Schema, seen.Record.Contracted = 4, []int64{2}
	p = Make(in, seen)
	require.Equal(t, "whether the database can be migrated is not known: the database cannot be used: no route", p.Findings[0].What)
	require.Equal(t, []string{"the image was still being pulled after 1m0s"}, p.Notes)
	require.Equal(t, int64(4), p.Schema, "as the last run knew")
	require.Equal(t, []int64{2}, p.Contracted)
}

func TestAReleaseKnowsTheContractMigrationsOfItsBundle(t *testing.T) {
	in := offer()
	in.Migrations = append(in.Migrations, migrate.File{Version: 9, Name: "9_x.sql", Phase: migrate.Contract})
	require.Equal(t, []int64{9}, Make(in, empty()).Release.Contracts)
}

func TestWhatTheLintFoundRefusesOrIsNoted(t *testing.T) {
	in, seen := next(), after(offer())
	seen.Checked = Checked{Database: &migrate.State{Pending: []string{"5_x.sql"}}, Linted: []lint.Finding{
		{File: "sql/5_x.sql", Line: 2, Column: 1, Rule: "drop-column", Severity: lint.Error, What: "drops a.b", Why: "it is used", Instead: "later"},
		{File: "sql/5_x.sql", Line: 3, Column: 1, Rule: "several-tables", Severity: lint.Warning, What: "locks a, b", Why: "others wait", Instead: "two files"},
	}}
	p := Make(in, seen)
	require.Equal(t, []Finding{{"sql/5_x.sql:2:1: drops a.b: it is used (drop-column)", "later"}}, p.Findings)
	require.Equal(t, []string{"sql/5_x.sql:3:1: locks a, b: others wait (several-tables); two files"}, p.Notes)
}

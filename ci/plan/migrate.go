package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"cutover.dev/ci/migrate"
	"cutover.dev/ci/migrate/lint"
	"cutover.dev/ci/release"
)

// roleMigrate is on the pods that may change the database.
const roleMigrate = "migrate"

// MigrateJob returns the Job that applies the migrations that a run's release
// brings, from its bundle.
func MigrateJob(rec *release.Record) *batchv1.Job {
	r := rec.Release
	return migrateJob(r, release.Names{App: r.Env.App}.Migrate(r.ID), migrateArgs(r, rec.Reasons)...)
}

// ContractJob returns the Job that applies contract migrations of the release that
// serves, from its bundle.
func ContractJob(rec *release.Record, versions []int64) *batchv1.Job {
	r := rec.Release
	list := strings.Trim(strings.ReplaceAll(fmt.Sprint(versions), " ", ","), "[]")
	return migrateJob(r, release.Names{App: r.Env.App}.Contract(rec.Number), append(migrateArgs(r, rec.Reasons), "--contract="+list)...)
}

func migrateArgs(r release.Release, reasons map[string]string) []string {
	m := r.Env.Migrations
	args := []string{"agent", "migrate", "--dsn-env=" + m.DSN, "--folder=" + m.Dir, "--release=" + r.ID, "--timeout=" + m.Timeout.String()}
	for _, flag := range []string{"allow-older", "accept-drift"} {
		if reasons[flag] != "" {
			args = append(args, "--"+flag)
		}
	}
	return args
}

func migrateJob(r release.Release, name string, args ...string) *batchv1.Job {
	spec := helperPod(r, roleMigrate, args)
	spec.Containers[0].EnvFrom = envFrom(r)
	// Time to give the database its locks back when it is asked to end.
	spec.TerminationGracePeriodSeconds = new(int64(10))
	return onceJob(r, name, roleMigrate, r.Env.Migrations.Timeout+time.Minute, spec)
}

// BackupJob returns the Job that runs the declared backup command.
func BackupJob(rec *release.Record) *batchv1.Job {
	r, b := rec.Release, rec.Release.Env.Migrations.Backup
	spec := helperPod(r, "backup", nil)
	c := &spec.Containers[0]
	c.Image, c.Command, c.EnvFrom = b.Image, b.Command, envFrom(r)
	unbundled(c)
	return onceJob(r, release.Names{App: r.Env.App}.Backup(rec.Number), "backup", b.Timeout, spec)
}

// jobKept is how long a Job that nobody took away stays for a look, in seconds.
const jobKept = 24 * 60 * 60

// onceJob is a Job that is looked at when it fails, not repeated.
func onceJob(r release.Release, name, role string, limit time.Duration, spec corev1.PodSpec) *batchv1.Job {
	return &batchv1.Job{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
		ObjectMeta: meta(r, name),
		Spec: batchv1.JobSpec{
			BackoffLimit:            new(int32(0)),
			ActiveDeadlineSeconds:   new(int64(seconds32(limit))),
			TTLSecondsAfterFinished: new(int32(jobKept)),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: helperLabels(r, role)},
				Spec:       spec,
			},
		},
	}
}

// Checked is what only a pod in the cluster can tell before a run.
type Checked struct {
	// Unpullable is why the cluster cannot pull the application's image, empty if it
	// can. Pulling says that it had not ended within the time of the look.
	Unpullable string
	Pulling    bool
	// Database is how the database stands to the release's migrations; nil if there
	// are none, or it could not be told: then Trouble says why.
	Database *migrate.State
	Trouble  string
	// Linted is what was found in the text of what is pending.
	Linted []lint.Finding
}

const (
	// CheckTime bounds one look.
	CheckTime = time.Minute
	// checkKept is how long a look that has ended stays, in seconds: for its log to be
	// read, should the API server be slow, and not much longer when whoever made it was
	// killed.
	checkKept = 10
	// Of the Job's two containers one asks the database, the other is only pulled.
	CheckDatabase, CheckImage = "database", "image"
)

// CheckJob returns the Job of one look, under a name of its own: its pod asks the
// database, from the release's bundle and changing nothing, and shows whether the
// cluster can pull the application's image. Either is left out where there is none.
func CheckJob(r release.Release, name string, in Input) *batchv1.Job {
	spec := helperPod(r, CheckImage, nil)
	if spec.Containers[0].Image = r.Image; r.Image == "" {
		spec.Containers = nil
	} else {
		// No image has this program: the application is pulled and never started.
		spec.Containers[0].Command = []string{"/cutover-does-not-start-this"}
	}
	if m := r.Env.Migrations; m != nil {
		args := slices.Insert(migrateArgs(r, in.Reasons()), 2, "status")
		database := helperPod(r, CheckDatabase, args).Containers[0]
		database.Env = []corev1.EnvVar{{Name: m.DSN, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: name}, Key: m.DSN,
		}}}}
		spec.Containers = append(spec.Containers, database)
	}
	job := onceJob(r, name, "check", CheckTime, spec)
	job.Spec.TTLSecondsAfterFinished = new(int32(checkKept))
	return job
}

// CheckSecret returns the Secret of one look. It goes with its Job.
func CheckSecret(r release.Release, job *batchv1.Job, values map[string]string) *corev1.Secret {
	dsn := r.Env.Migrations.DSN
	s := &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: meta(r, job.Name),
		Type:       corev1.SecretTypeOpaque,
		Data:       map[string][]byte{dsn: []byte(values[dsn])},
	}
	s.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: job.Name, UID: job.UID}}
	return s
}

// checkFindings are what the look found to speak against going on.
func checkFindings(in Input, seen Observed, add adder) {
	if seen.Unpullable != "" {
		add("check that the cluster may read the registry (image.pullSecret names the Secret with the account), then the same command again",
			"the cluster cannot pull the image %s: %s", in.Image, seen.Unpullable)
	}
	if seen.Trouble != "" {
		add("check the secret "+in.Env.Migrations.DSN+" and that pods of the namespace reach the database, then the same command again",
			"whether the database can be migrated is not known: %s", seen.Trouble)
	}
	if seen.Database == nil {
		return
	}
	for _, p := range seen.Database.Problems {
		add(p.Next, "%s", p.What)
	}
	for _, f := range seen.Linted {
		if f.Severity == lint.Error {
			add(f.Instead, "%s:%d:%d: %s: %s (%s)", f.File, f.Line, f.Column, f.What, f.Why, f.Rule)
		}
	}
}

func checkNotes(seen Checked) (out []string) {
	if seen.Pulling {
		out = append(out, fmt.Sprintf("the image was still being pulled after %s", CheckTime))
	}
	if seen.Database != nil {
		out = append(out, seen.Database.Notes...)
	}
	for _, f := range seen.Linted {
		if f.Severity == lint.Warning {
			out = append(out, fmt.Sprintf("%s:%d:%d: %s: %s (%s); %s", f.File, f.Line, f.Column, f.What, f.Why, f.Rule, f.Instead))
		}
	}
	return out
}

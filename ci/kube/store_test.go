package kube

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"cutover.dev/ci/outcome"
	"cutover.dev/ci/probe"
	"cutover.dev/ci/release"
	"cutover.dev/ci/rollout"
)

func configMap(t *testing.T, client *fake.Clientset, name string) *corev1.ConfigMap {
	t.Helper()
	m, err := client.CoreV1().ConfigMaps(namespace).Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	return m
}

// finished begins a run and ends it.
func finished(t *testing.T, c *Cluster, run string) *release.Record {
	t.Helper()
	rec := record(run)
	store := NewStore(c)
	require.NoError(t, store.Begin(t.Context(), rec))
	rec.Outcome = release.Succeeded
	require.NoError(t, store.Save(t.Context(), rec))
	return rec
}

func TestThereIsNoRecordBeforeTheFirstRun(t *testing.T) {
	c, _ := newFake(t)
	rec, err := c.Load(t.Context())
	require.NoError(t, err)
	require.Nil(t, rec)
}

func TestARecordIsReadAsItWasSaved(t *testing.T) {
	c, client := newFake(t)
	rec := record("A")
	store := NewStore(c)
	require.NoError(t, store.Begin(t.Context(), rec))
	require.Equal(t, 1, rec.Number)
	require.Equal(t, "r1", rec.Release.ID)
	rec.Serving = release.Green
	rec.Steps = []release.Step{{Name: "raise", State: release.Done, Note: "2 pods ready"}}
	require.NoError(t, store.Save(t.Context(), rec))

	read, err := c.Load(t.Context())
	require.NoError(t, err)
	require.Equal(t, rec.Clone(), read)
	head := configMap(t, client, "notes-cutover")
	require.Equal(t, map[string]string{release.LabelApp: "notes", release.LabelManagedBy: "cutover", release.LabelRole: "record"}, head.Labels)
}

func TestEveryRunGetsTheNextNumberAndFilesTheOneBefore(t *testing.T) {
	c, client := newFake(t)
	for i := 1; i <= 3; i++ {
		rec := finished(t, c, fmt.Sprint("RUN", i))
		require.Equal(t, i, rec.Number)
		require.Equal(t, fmt.Sprintf("r%d", i), rec.Release.ID)
	}
	for i := 1; i <= 2; i++ {
		kept := configMap(t, client, fmt.Sprintf("notes-cutover-%d", i))
		require.True(t, *kept.Immutable)
		rec, err := decode(kept)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint("RUN", i), rec.Run)
		require.Equal(t, release.Succeeded, rec.Outcome)
	}
	history := strings.Split(strings.TrimSpace(configMap(t, client, "notes-cutover").Data[keyHistory]), "\n")
	require.Len(t, history, 2)
	var s release.Summary
	require.NoError(t, json.Unmarshal([]byte(history[1]), &s))
	require.Equal(t, "RUN2", s.Run)
	require.Equal(t, "r2", s.Release)
}

func TestARunThatChangesNothingKeepsTheReleasesID(t *testing.T) {
	c, _ := newFake(t)
	finished(t, c, "A")
	rec := record("B")
	rec.Release.ID = "r1"
	require.NoError(t, NewStore(c).Begin(t.Context(), rec))
	require.Equal(t, 2, rec.Number)
	require.Equal(t, "r1", rec.Release.ID)
}

func TestASaveAfterSomebodyElsesIsAConflict(t *testing.T) {
	c, _ := newFake(t)
	mine := record("MINE")
	store := NewStore(c)
	require.NoError(t, store.Begin(t.Context(), mine))

	theirs, err := NewStore(c).Load(t.Context())
	require.NoError(t, err)
	other := NewStore(c)
	_, err = other.Load(t.Context())
	require.NoError(t, err)
	theirs.Error = "run MINE was interrupted"
	require.NoError(t, other.Save(t.Context(), theirs))

	mine.Serving = release.Green
	require.ErrorIs(t, store.Save(t.Context(), mine), rollout.ErrConflict)
	read, err := c.Load(t.Context())
	require.NoError(t, err)
	require.Equal(t, theirs.Error, read.Error, "theirs stands")
}

func TestTwoFirstRunsInTheSameMomentAreAConflict(t *testing.T) {
	c, client := newFake(t)
	once := false
	client.PrependReactor("create", "configmaps", func(action k8stesting.Action) (bool, runtime.Object, error) {
		if !once {
			once = true
			theirs := action.(k8stesting.CreateAction).GetObject().DeepCopyObject().(*corev1.ConfigMap)
			theirs.Data[keyRecord] = strings.ReplaceAll(theirs.Data[keyRecord], "MINE", "THEIRS")
			require.NoError(t, client.Tracker().Add(theirs))
		}
		return false, nil, nil
	})
	require.ErrorIs(t, NewStore(c).Begin(t.Context(), record("MINE")), rollout.ErrConflict)
	rec, err := c.Load(t.Context())
	require.NoError(t, err)
	require.Equal(t, "THEIRS", rec.Run)
}

func TestAWriteWhoseAnswerWasLostIsNoConflict(t *testing.T) {
	c, client := newFake(t)
	rec := record("A")
	store := NewStore(c)
	require.NoError(t, store.Begin(t.Context(), rec))
	lost := 0
	client.PrependReactor("update", "configmaps", func(action k8stesting.Action) (bool, runtime.Object, error) {
		if lost++; lost > 1 {
			return false, nil, nil
		}
		object := action.(k8stesting.UpdateAction).GetObject().DeepCopyObject().(*corev1.ConfigMap)
		object.ResourceVersion = "1000"
		require.NoError(t, client.Tracker().Update(action.GetResource(), object, namespace))
		return true, nil, apierrors.NewTimeoutError("the answer was lost", 0)
	})
	rec.Serving = release.Green
	require.NoError(t, store.Save(t.Context(), rec))
	require.Equal(t, 2, lost)
	rec.Serving = release.Blue
	require.NoError(t, store.Save(t.Context(), rec), "the next save knows the version")
}

func TestTheHistoryKeepsTheNewestAndDropsTheOldest(t *testing.T) {
	history := ""
	for i := 1; i <= keptSummaries+3; i++ {
		history = appendSummary(history, release.Summary{Number: i})
	}
	lines := strings.Split(strings.TrimSpace(history), "\n")
	require.Len(t, lines, keptSummaries)
	require.Contains(t, lines[0], `"number":4,`)
	require.Contains(t, lines[keptSummaries-1], fmt.Sprintf(`"number":%d,`, keptSummaries+3))
}

func TestARecordThatIsTooLargeIsNotWritten(t *testing.T) {
	c, client := newFake(t)
	rec := record("A")
	store := NewStore(c)
	require.NoError(t, store.Begin(t.Context(), rec))
	before := configMap(t, client, "notes-cutover")
	rec.Error = strings.Repeat("x", maxRecord)
	require.ErrorContains(t, store.Save(t.Context(), rec), "the record has")
	require.Equal(t, before, configMap(t, client, "notes-cutover"))
}

func TestARecordThatCannotBeUnderstoodIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"{":             "the record in the ConfigMap notes-cutover cannot be read",
		"":              "the record in the ConfigMap notes-cutover cannot be read",
		`{"format": 2}`: "the record in the ConfigMap notes-cutover has format 2; this cutover knows 1",
	} {
		c, _ := newFake(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "notes-cutover", Namespace: namespace}, Data: map[string]string{keyRecord: text}})
		_, err := c.Load(t.Context())
		require.ErrorContains(t, err, want)
		require.Equal(t, outcome.Refused, outcome.CodeOf(err))
	}
}

func TestTidyKeepsTenRecordsAndWhatTheyMention(t *testing.T) {
	c, client := newFake(t)
	var last *release.Record
	for i := 1; i <= 14; i++ {
		last = finished(t, c, fmt.Sprint("RUN", i))
		require.NoError(t, c.CreateConfig(t.Context(), last, nil))
	}
	foreign := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "notes-r1", Namespace: "elsewhere", Labels: map[string]string{release.LabelApp: "notes", release.LabelRelease: "r1"}}}
	require.NoError(t, client.Tracker().Add(foreign))
	own := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "notes-settings", Namespace: namespace, Labels: map[string]string{release.LabelApp: "notes"}}}
	require.NoError(t, client.Tracker().Add(own))
	last.Previous = &release.Release{ID: "r2"} // as after a long time without a change
	require.NoError(t, c.Tidy(t.Context(), last))

	list, err := client.CoreV1().ConfigMaps("").List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	var names []string
	for _, m := range list.Items {
		names = append(names, m.Namespace+"/"+m.Name)
	}
	want := []string{"elsewhere/notes-r1", namespace + "/notes-settings", namespace + "/notes-cutover", namespace + "/notes-r2", namespace + "/notes-r14"}
	for i := 4; i <= 13; i++ {
		want = append(want, fmt.Sprintf("%s/notes-r%d", namespace, i), fmt.Sprintf("%s/notes-cutover-%d", namespace, i))
	}
	require.ElementsMatch(t, want, names)
}

func TestTidyKeepsTheRecordsOfReleasesThatServedHoweverManyRunsChangedNothing(t *testing.T) {
	made := func(n int) *release.Record {
		return &release.Record{Number: n, Outcome: release.Succeeded, Release: release.Release{ID: fmt.Sprintf("r%d", n)}}
	}
	records := []*release.Record{made(1), made(2)}
	for n := 3; n <= 40; n++ {
		records = append(records, &release.Record{Number: n, Outcome: release.Unchanged, Release: release.Release{ID: "r2"}})
	}
	kept, old := keep(records)
	require.Equal(t, map[string]bool{"r1": true, "r2": true}, kept)
	require.Len(t, old, 40-2-keptRecords-1)

	records = nil
	for n := 1; n <= 40; n++ {
		records = append(records, made(n))
	}
	_, old = keep(records)
	require.Len(t, old, 40-keptRecords-1)
}

func TestAReleaseIsFoundByTheRunThatMadeIt(t *testing.T) {
	c, _ := newFake(t)
	for i := 1; i <= 3; i++ {
		finished(t, c, fmt.Sprint("RUN", i))
	}
	for id, want := range map[string]string{"r1": "RUN1", "r3": "RUN3"} {
		rec, err := NewStore(c).Find(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, want, rec.Run)
	}
	rec, err := NewStore(c).Find(t.Context(), "r9")
	require.NoError(t, err)
	require.Nil(t, rec)
	_, err = NewStore(c).Find(t.Context(), "latest")
	require.Equal(t, outcome.Refused, outcome.CodeOf(err))
	require.ErrorContains(t, err, `"latest" is not the name of a release`)
}

func TestHistoryListsEveryRunTheNewestLast(t *testing.T) {
	c, _ := newFake(t)
	runs, err := c.History(t.Context())
	require.NoError(t, err)
	require.Empty(t, runs)
	for i := 1; i <= 3; i++ {
		finished(t, c, fmt.Sprint("RUN", i))
	}
	runs, err = c.History(t.Context())
	require.NoError(t, err)
	require.Len(t, runs, 3)
	require.Equal(t, "RUN1", runs[0].Run)
	require.Equal(t, "RUN3", runs[2].Run)
}

func TestASeriesThatIsTooLongKeepsItsLatestSeconds(t *testing.T) {
	c, client := newFake(t)
	rec := finished(t, c, "RUN1")
	var seconds []probe.Second
	for i := range 20000 {
		seconds = append(seconds, probe.Second{At: time.Unix(int64(i), 0).UTC(), Count: probe.Count{Sent: 20, OK: 20}})
	}
	for range 2 { // a run that is resumed files it again
		require.NoError(t, NewStore(c).KeepSeries(t.Context(), rec, seconds))
	}
	text := configMap(t, client, "notes-cutover-1-series").Data[keySeries]
	require.LessOrEqual(t, len(text), maxSeries)
	require.Greater(t, len(text), maxSeries-1000)
	lines := strings.Split(text, "\n")
	var last probe.Second
	require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &last))
	require.Equal(t, seconds[19999].At, last.At)
}

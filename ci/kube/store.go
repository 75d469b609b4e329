package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"cutover.dev/ci/outcome"
	"cutover.dev/ci/probe"
	"cutover.dev/ci/release"
	"cutover.dev/ci/rollout"
)

// How much of the past is kept, and how large a record may become. A ConfigMap
// holds 1 MiB; what a release consists of takes a few KiB.
const (
	keptRecords   = 10
	keptSummaries = 500
	maxRecord     = 64 << 10
	maxSeries     = 512 << 10
)

// Keys of the head ConfigMap.
const (
	keyRecord  = "record"
	keyHistory = "history"
	keyNumber  = "number"
	keySeries  = "series"
)

// Store keeps an application's records in its namespace: the current one and
// the history in one ConfigMap, each finished one in a ConfigMap of its own. It
// belongs to one run and is not safe for concurrent use.
type Store struct {
	cluster *Cluster
	head    *corev1.ConfigMap // as last read or written: its resourceVersion fences the next write
}

// NewStore returns the store of the cluster's application.
func NewStore(c *Cluster) *Store { return &Store{cluster: c} }

var _ rollout.Store = (*Store)(nil)

// Load returns the current record, nil if there never was a run.
func (c *Cluster) Load(ctx context.Context) (*release.Record, error) {
	return NewStore(c).Load(ctx)
}

// Load implements rollout.Store.
func (s *Store) Load(ctx context.Context) (*release.Record, error) {
	c := s.cluster
	var head *corev1.ConfigMap
	err := persist(ctx, func(ctx context.Context) (err error) {
		head, err = c.client.CoreV1().ConfigMaps(c.namespace).Get(ctx, c.names.Head(), metav1.GetOptions{})
		return err
	})
	if apierrors.IsNotFound(err) {
		s.head = nil
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the record (ConfigMap %s): %w", c.names.Head(), err)
	}
	s.head = head
	return decode(head)
}

func decode(head *corev1.ConfigMap) (*release.Record, error) {
	rec := new(release.Record)
	if err := json.Unmarshal([]byte(head.Data[keyRecord]), rec); err != nil {
		return nil, outcome.Refusef(fmt.Sprintf("kubectl --namespace=%s get configmap %s --output=yaml", head.Namespace, head.Name),
			"the record in the ConfigMap %s cannot be read: %w", head.Name, err)
	}
	if rec.Format > release.FormatVersion {
		return nil, outcome.Refusef("install the newer cutover that wrote it",
			"the record in the ConfigMap %s has format %d; this cutover knows %d", head.Name, rec.Format, release.FormatVersion)
	}
	return rec, nil
}

// Begin implements rollout.Store.
func (s *Store) Begin(ctx context.Context, rec *release.Record) error {
	old, err := s.Load(ctx)
	if err != nil {
		return err
	}
	next := s.emptyHead()
	number := 0
	if old != nil {
		if err := s.archive(ctx, old); err != nil {
			return err
		}
		next = s.head.DeepCopy()
		if number, err = strconv.Atoi(next.Data[keyNumber]); err != nil {
			return fmt.Errorf("the ConfigMap %s holds no number of releases: %w", next.Name, err)
		}
		next.Data[keyHistory] = appendSummary(next.Data[keyHistory], old.Summary())
	}
	rec.Number = number + 1
	if rec.Release.ID == "" {
		rec.Release.ID = "r" + strconv.Itoa(rec.Number)
	}
	next.Data[keyNumber] = strconv.Itoa(rec.Number)
	return s.put(ctx, next, rec)
}

// Save implements rollout.Store.
func (s *Store) Save(ctx context.Context, rec *release.Record) error {
	return s.put(ctx, s.head.DeepCopy(), rec)
}

// put writes the record into the head, if nobody else wrote in between. An
// answer that got lost is looked for before it is called a conflict.
func (s *Store) put(ctx context.Context, head *corev1.ConfigMap, rec *release.Record) error {
	data, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	if len(data) > maxRecord {
		return fmt.Errorf("the record has %d bytes, more than %d", len(data), maxRecord)
	}
	head.Data[keyRecord] = string(data)
	c := s.cluster
	maps := c.client.CoreV1().ConfigMaps(c.namespace)
	err = persist(ctx, func(ctx context.Context) error {
		var err error
		var written *corev1.ConfigMap
		if head.ResourceVersion == "" {
			written, err = maps.Create(ctx, head, metav1.CreateOptions{FieldManager: release.Manager})
		} else {
			written, err = maps.Update(ctx, head, metav1.UpdateOptions{FieldManager: release.Manager})
		}
		if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
			found, getErr := maps.Get(ctx, head.Name, metav1.GetOptions{})
			if getErr != nil {
				return getErr
			}
			if found.Data[keyRecord] != head.Data[keyRecord] {
				return rollout.ErrConflict
			}
			written, err = found, nil // it was our own write, its answer lost
		}
		if err == nil {
			s.head = written
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("ConfigMap %s: %w", head.Name, err)
	}
	return nil
}

// Find implements rollout.Store. A release is named after the run that made it,
// and so is the ConfigMap with that run's record.
func (s *Store) Find(ctx context.Context, releaseID string) (*release.Record, error) {
	number, err := strconv.Atoi(strings.TrimPrefix(releaseID, "r"))
	if err != nil {
		return nil, outcome.Refusef("dagger call history --env="+s.cluster.env, "%q is not the name of a release, such as r7", releaseID)
	}
	rec, err := s.cluster.Load(ctx)
	if err == nil && rec != nil && rec.Number != number {
		rec, err = s.archived(ctx, number)
	}
	if err != nil || rec == nil || rec.Outcome != release.Succeeded || rec.Release.ID != releaseID {
		return nil, err
	}
	return rec, nil
}

func (s *Store) archived(ctx context.Context, number int) (rec *release.Record, err error) {
	c := s.cluster
	name := c.names.Archive(number)
	return rec, c.write(ctx, "read the record "+name, func(ctx context.Context) error {
		m, err := c.client.CoreV1().ConfigMaps(c.namespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil {
			rec, err = decode(m)
		}
		return gone(err)
	})
}

// History returns a line for every run that is remembered, the newest last.
func (c *Cluster) History(ctx context.Context) ([]release.Summary, error) {
	return NewStore(c).History(ctx)
}

// History implements rollout.Store.
func (s *Store) History(ctx context.Context) ([]release.Summary, error) {
	c := s.cluster
	own := NewStore(c) // reading moves no fence
	rec, err := own.Load(ctx)
	if err != nil || rec == nil {
		return nil, err
	}
	var all []release.Summary
	for line := range strings.Lines(own.head.Data[keyHistory]) {
		var past release.Summary
		if err := json.Unmarshal([]byte(line), &past); err != nil {
			return nil, fmt.Errorf("the history in the ConfigMap %s cannot be read: %w", c.names.Head(), err)
		}
		all = append(all, past)
	}
	return append(all, rec.Summary()), nil
}

// KeepSeries implements rollout.Store, in a ConfigMap of its own that never
// becomes too large: the latest seconds are kept.
func (s *Store) KeepSeries(ctx context.Context, rec *release.Record, seconds []probe.Second) error {
	c := s.cluster
	data := encodeSeries(seconds)
	m := &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: s.meta(c.names.Series(rec.Number)), Data: map[string]string{keySeries: data},
	}
	m.Labels[release.LabelRole] = "series"
	return apply(ctx, c, c.client.CoreV1().ConfigMaps(c.namespace), m)
}

// encodeSeries writes each second as a line of JSON, as many of the latest as fit.
func encodeSeries(seconds []probe.Second) string {
	var lines []string
	size := 0
	for i := len(seconds) - 1; i >= 0; i-- {
		line, err := json.Marshal(seconds[i])
		if err != nil {
			panic(fmt.Sprintf("kube: a second cannot be encoded: %v", err)) // only plain data inside
		}
		if size += len(line) + 1; size > maxSeries {
			break
		}
		lines = append(lines, string(line))
	}
	slices.Reverse(lines)
	return strings.Join(lines, "\n")
}

func (s *Store) emptyHead() *corev1.ConfigMap {
	c := s.cluster
	return &corev1.ConfigMap{ObjectMeta: s.meta(c.names.Head()), Data: map[string]string{}}
}

func (s *Store) meta(name string) metav1.ObjectMeta {
	l := s.cluster.names.Labels()
	l[release.LabelRole] = "record"
	return metav1.ObjectMeta{Name: name, Namespace: s.cluster.namespace, Labels: l}
}

// archive keeps a finished record whole, in a ConfigMap of its own.
func (s *Store) archive(ctx context.Context, rec *release.Record) error {
	c := s.cluster
	data, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	m := &corev1.ConfigMap{ObjectMeta: s.meta(c.names.Archive(rec.Number)), Immutable: new(true), Data: map[string]string{keyRecord: string(data)}}
	return c.write(ctx, "keep the record of run "+rec.Run, func(ctx context.Context) error {
		_, err := c.client.CoreV1().ConfigMaps(c.namespace).Create(ctx, m, metav1.CreateOptions{FieldManager: release.Manager})
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	})
}

// appendSummary adds a line to the history and drops the oldest beyond the limit.
func appendSummary(history string, s release.Summary) string {
	line, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("kube: a summary cannot be encoded: %v", err)) // only plain data inside
	}
	lines := strings.Split(strings.TrimSpace(history), "\n")
	if lines[0] == "" {
		lines = nil
	}
	lines = append(lines, string(line))
	return strings.Join(lines[max(0, len(lines)-keptSummaries):], "\n")
}

// Tidy deletes what nothing refers to any more: records beyond the kept ones,
// and the ConfigMaps, Secrets and Jobs of releases that no kept record mentions.
func (c *Cluster) Tidy(ctx context.Context, current *release.Record) error {
	own := labels.SelectorFromSet(labels.Set{release.LabelApp: c.names.App}).String()
	list, err := c.client.CoreV1().ConfigMaps(c.namespace).List(ctx, metav1.ListOptions{LabelSelector: own})
	if err != nil {
		return fmt.Errorf("list the ConfigMaps of %s: %w", c.names.App, err)
	}
	records := []*release.Record{current}
	var releases []string
	for _, m := range list.Items {
		id := m.Labels[release.LabelRelease]
		switch {
		case m.Labels[release.LabelRole] == "record" && m.Name != c.names.Head():
			rec, err := decode(&m)
			if err != nil {
				return err
			}
			records = append(records, rec)
		case m.Name == c.names.Config(id):
			releases = append(releases, id)
		}
	}
	kept, old := keep(records)
	for _, rec := range old {
		if err := c.deleteRecord(ctx, rec.Number); err != nil {
			return err
		}
	}
	for _, id := range releases {
		if !kept[id] {
			if err := c.DeleteRelease(ctx, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// keep sorts out the records that are too old: all but the newest and the newest
// of those that made a release which served. It returns the releases that the
// remaining ones mention.
func keep(records []*release.Record) (kept map[string]bool, old []*release.Record) {
	slices.SortFunc(records, func(a, b *release.Record) int { return cmp.Compare(b.Number, a.Number) })
	kept = map[string]bool{}
	served := 0
	for i, rec := range records {
		made := rec.Outcome == release.Succeeded && rec.Release.ID == fmt.Sprintf("r%d", rec.Number)
		if made {
			served++
		}
		if i > keptRecords && (!made || served > keptRecords) { // the current one comes first and is not counted
			old = append(old, rec)
			continue
		}
		kept[rec.Release.ID] = true
		if rec.Previous != nil {
			kept[rec.Previous.ID] = true
		}
	}
	return kept, old
}

func (c *Cluster) deleteRecord(ctx context.Context, number int) error {
	for _, name := range []string{c.names.Archive(number), c.names.Series(number)} {
		if err := gone(c.client.CoreV1().ConfigMaps(c.namespace).Delete(ctx, name, metav1.DeleteOptions{})); err != nil {
			return fmt.Errorf("delete the record %s: %w", name, err)
		}
	}
	return nil
}

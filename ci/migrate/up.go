// Package migrate brings a PostgreSQL database to a release's schema with goose,
// while the version before it serves on the same database. It runs as a Job inside
// the cluster, from the release's bundle.
//
// goose parses, runs and counts the files. What it leaves to its caller is here:
// the two phases of a change (files.go), what was begun and with which text
// (ledger.go), what a hand changed (schema.go), what the server and the account can
// do (host.go), what all of that says about going on (state.go), locks that are given
// up and asked for again (up.go), and indexes that are half made (index.go).
package migrate

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

const (
	// tries is how often all files together may be tried.
	tries = 30
	// The pause between two tries grows from the first to the last of these, and is
	// drawn from the half of it to the whole.
	firstPause, longestPause = time.Second, 15 * time.Second
)

// ErrRefused says that the Result's problems speak against applying anything, and
// that nothing was.
var ErrRefused = errors.New("nothing was applied")

// Up applies every pending file of the expand phase, one runner at a time, and
// tells on out what it does. Whoever comes meanwhile waits. ctx bounds all of it.
// The Result says how far it came, whatever the error.
func Up(ctx context.Context, o Order, out io.Writer) (Result, error) {
	return apply(ctx, o, out, func(s State, files []File) ([]File, error) {
		return named(files, s.Pending), nil
	})
}

// UpContract applies exactly these files of the contract phase, but for those that a
// run before has applied, after it has noted a restore point.
func UpContract(ctx context.Context, o Order, versions []int64, out io.Writer) (Result, error) {
	return apply(ctx, o, out, func(s State, files []File) ([]File, error) {
		if len(s.Pending) > 0 {
			return nil, fmt.Errorf("%v were not applied yet: the release is to be deployed first", s.Pending)
		}
		todo := slices.DeleteFunc(named(files, s.Deferred), func(f File) bool { return !slices.Contains(versions, f.Version) })
		for _, v := range versions {
			if !slices.Contains(s.Contracted, v) && !slices.ContainsFunc(todo, func(f File) bool { return f.Version == v }) {
				return nil, fmt.Errorf("version %d is not a contract file that waits to be applied; these are: %s", v, cmp.Or(strings.Join(s.Deferred, ", "), "none"))
			}
		}
		return todo, nil
	})
}

func named(files []File, names []string) []File {
	return slices.DeleteFunc(slices.Clone(files), func(f File) bool { return !slices.Contains(names, f.Name) })
}

// run is one runner at work.
type run struct {
	Order
	target *target
	files  []File
	out    io.Writer
	// db is for everything but the files themselves: looking, the ledger, and who
	// stands in the way.
	db     *sql.DB
	result Result
	try    int
}

// apply looks, chooses and applies, all under the lock of a run.
func apply(ctx context.Context, o Order, out io.Writer, choose func(State, []File) ([]File, error)) (Result, error) {
	files, err := Parse(o.Files, o.Dir)
	if err != nil {
		return Result{}, err
	}
	t, err := reach(o.DSN, o.Release)
	if err != nil {
		return Result{}, err
	}
	r := &run{Order: o, target: t, files: files, out: out, db: t.open(settings{})}
	defer r.db.Close()
	// First of all: behind a pooler a lock would go astray.
	if r.result.Problems, err = pooler(ctx, r.db); err != nil {
		return r.result, err
	}
	if len(r.result.Problems) > 0 {
		return r.result, ErrRefused
	}
	err = r.locked(ctx, func() error { return r.do(ctx, choose) })
	return r.result, err
}

// locked does something while no other run is at work.
func (r *run) locked(ctx context.Context, do func() error) (err error) {
	conn, err := r.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	holders, err := lockHolders(ctx, conn)
	if err != nil {
		return err
	}
	for _, h := range holders {
		r.tell("another migration is at work; waiting for it: %s", h)
	}
	unlock, err := take(ctx, conn, runLock)
	if err != nil {
		return err
	}
	defer unlock()
	// Of a runner that died the session with this lock has ended with it, but the one
	// that runs a statement goes on for some seconds: it holds goose's.
	unlockGoose, err := take(ctx, conn, lock.DefaultLockID)
	if err != nil {
		return err
	}
	unlockGoose()
	return do()
}

// take waits for an advisory lock, asking once a second for as long as ctx lasts.
// The end of the session gives the lock back as well.
func take(ctx context.Context, conn *sql.Conn, id int64) (unlock func(), err error) {
	locker, err := newLocker(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := locker.SessionLock(ctx, conn); err != nil {
		return nil, fmt.Errorf("another migration did not end: %w", err)
	}
	return func() { _ = locker.SessionUnlock(context.WithoutCancel(ctx), conn) }, nil
}

// newLocker returns a locker for one use: goose's shares one budget of waiting
// among all of its calls.
func newLocker(ctx context.Context, id int64) (lock.SessionLocker, error) {
	return lock.NewPostgresSessionLocker(lock.WithLockID(id), lock.WithLockTimeout(1, uint64(left(ctx)/time.Second)+1))
}

// left is how long ctx lasts; an hour without an end.
func left(ctx context.Context) time.Duration {
	if end, bounded := ctx.Deadline(); bounded {
		return max(time.Until(end), 0)
	}
	return time.Hour
}

func (r *run) do(ctx context.Context, choose func(State, []File) ([]File, error)) error {
	// To look at a table is to wait for whoever has locked it whole.
	stop := r.watch(ctx)
	state, l, err := look(ctx, r.db, r.files, r.Order)
	if by := stop(); err != nil {
		return fmt.Errorf("%w%s", err, held(by))
	}
	r.result.From, r.result.To, r.result.Contracted = state.Version, state.Version, state.Contracted
	for _, n := range state.Notes {
		r.tell("%s", n)
	}
	if r.result.Problems = state.Problems; len(state.Problems) > 0 {
		return ErrRefused
	}
	todo, err := choose(state, r.files)
	if err != nil {
		return err
	}
	if err := r.remember(ctx, l); err != nil {
		return fmt.Errorf("write the ledger: %w", err)
	}
	if err := r.restorePoint(ctx, todo); err != nil {
		return err
	}
	for _, f := range todo {
		if err := r.apply(ctx, f); err != nil {
			r.result.Failed = f.Name
			return err
		}
	}
	return nil
}

// remember brings the ledger up to what is true now: files that ran before there
// was one, files that ran though the run that began them died, and the schema.
func (r *run) remember(ctx context.Context, l ledger) error {
	if err := createLedger(ctx, r.db); err != nil {
		return err
	}
	var unknown []File
	for _, f := range r.files {
		if l.Rows[f.Version] && l.last(f.Version) == nil {
			unknown = append(unknown, f)
		}
	}
	if err := adopt(ctx, r.db, unknown); err != nil {
		return err
	}
	for _, e := range l.Entries {
		if e.Ended != nil {
			continue
		}
		why := errors.New("its run died; the file was applied again")
		if l.Rows[e.Version] {
			why = nil
		}
		if err := end(ctx, r.db, e.ID, why); err != nil {
			return err
		}
	}
	if l.Snapshot == nil || l.Snapshot.Entry != l.newest() || len(unknown) > 0 || r.AcceptDrift {
		return remember(ctx, r.db)
	}
	return nil
}

// restorePoint notes where the database stands before something is taken away.
func (r *run) restorePoint(ctx context.Context, todo []File) error {
	if !slices.ContainsFunc(todo, func(f File) bool { return f.Phase == Contract }) {
		return nil
	}
	var err error
	if r.result.RestorePoint, err = restorePoint(ctx, r.db, r.Release); err != nil {
		return fmt.Errorf("note a restore point: %w", err)
	}
	r.tell("restore point: %s", r.result.RestorePoint)
	return nil
}

// apply runs one file until it has its locks, and writes down that it begins and
// how it ended.
func (r *run) apply(ctx context.Context, f File) error {
	done, err := r.finished(ctx, f)
	if err != nil {
		return err
	}
	id, err := begin(ctx, r.db, f, r.Release)
	if err != nil {
		return fmt.Errorf("write the ledger: %w", err)
	}
	began := time.Now()
	first := r.try + 1
	if !done {
		err = r.insist(ctx, f)
	}
	// Also when ctx has ended: what is known is written.
	if endErr := end(context.WithoutCancel(ctx), r.db, id, err); endErr != nil {
		return errors.Join(err, fmt.Errorf("write the ledger: %w", endErr))
	}
	if err != nil {
		return err
	}
	a := Applied{Version: f.Version, File: f.Name, Seconds: time.Since(began).Round(time.Millisecond).Seconds(), Tries: max(r.try-first+1, 1)}
	r.result.Applied = append(r.result.Applied, a)
	r.result.To = max(r.result.To, f.Version)
	if f.Phase == Contract {
		r.result.Contracted = append(r.result.Contracted, f.Version)
	}
	r.tell("%s was applied in %.1f s", f.Name, a.Seconds)
	return nil
}

// insist tries a file again for as long as it cannot have its locks. Nothing else
// is tried twice: what failed for another reason fails again.
func (r *run) insist(ctx context.Context, f File) error {
	for pause := firstPause; ; pause = min(pause*3/2, longestPause) {
		r.try++
		by, err := r.attempt(ctx, f)
		switch c := code(err); {
		case err == nil || errors.Is(err, goose.ErrAlreadyApplied):
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("not done in the time for the whole migration: %w%s", err, held(by))
		case c != lockNotAvailable && c != deadlockDetected:
			return err
		case r.try >= tries:
			return fmt.Errorf("no lock in %d tries: %w%s", tries, err, held(by))
		}
		wait := pause/2 + rand.N(pause/2)
		r.tell("%s has not got its lock at try %d of %d; again in %s%s", f.Name, r.try, tries, wait.Round(100*time.Millisecond), held(by))
		select {
		case <-ctx.Done():
			return fmt.Errorf("not done in the time for the whole migration: %w%s", err, held(by))
		case <-time.After(wait):
		}
	}
}

func held(by []Session) (text string) {
	for _, s := range by {
		text += "\n  held by " + s.String()
	}
	return text
}

// attempt runs a file once, with a locker and a Provider of its own. It returns who
// stood in the way.
func (r *run) attempt(ctx context.Context, f File) (by []Session, err error) {
	if err := r.dropInvalid(ctx, f); err != nil {
		return nil, err
	}
	db := r.target.open(settings{lock: f.patience(), statement: left(ctx)})
	defer db.Close()
	locker, err := newLocker(ctx, lock.DefaultLockID)
	if err != nil {
		return nil, err
	}
	options := []goose.ProviderOption{goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true)}
	if f.Phase == Expand {
		options = append(options, goose.WithExcludeVersions(Contracts(r.files)))
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, r.Files, options...)
	if err != nil {
		return nil, err
	}
	stop := r.watch(ctx)
	_, err = provider.ApplyVersion(ctx, f.Version, true)
	return stop(), err
}

// patience is how long a statement of the file waits for a lock. One that runs
// concurrently makes nobody wait while it waits, and starting it over would throw
// away what it has done.
func (f File) patience() time.Duration {
	switch {
	case f.LockTimeout > 0:
		return f.LockTimeout
	case f.Concurrently:
		return 0
	default:
		return lockTimeout
	}
}

// Contracts are the versions of the contract files: what a deploy leaves alone.
func Contracts(files []File) (out []int64) {
	for _, f := range files {
		if f.Phase == Contract {
			out = append(out, f.Version)
		}
	}
	return out
}

// glance is the time between two looks at who stands in the way: PostgreSQL tells
// it only while one waits.
const glance = 100 * time.Millisecond

// watch looks who stands in the way, until it is stopped; then it returns the last
// that did.
func (r *run) watch(ctx context.Context) (stop func() []Session) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan []Session, 1)
	go func() {
		var last []Session
		for tick := time.NewTicker(glance); ; {
			if now, err := blockers(ctx, r.db, r.target.name); err == nil && len(now) > 0 {
				last = now
			}
			select {
			case <-ctx.Done():
				tick.Stop()
				ended <- last
				return
			case <-tick.C:
			}
		}
	}()
	return func() []Session {
		cancel()
		return <-ended
	}
}

func (r *run) tell(format string, args ...any) { fmt.Fprintf(r.out, format+"\n", args...) }

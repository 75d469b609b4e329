package migrate

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"
)

// State is what a database has and lacks of a release's migrations, and what
// speaks against applying them.
type State struct {
	// Version is the highest that is applied, 0 on an empty database.
	Version int64 `json:"version"`
	// Applied, Pending and Deferred are the names of files: those that ran, those
	// that a deploy would apply, and those of the contract phase that did not run.
	Applied  []string `json:"applied,omitempty"`
	Pending  []string `json:"pending,omitempty"`
	Deferred []string `json:"deferred,omitempty"`
	// Contracted are the versions of contract files that ran, also those that the
	// release does not have.
	Contracted []int64 `json:"contracted,omitempty"`
	// Unwritten says that the ledger does not know all that is true: the next run
	// writes it down, also when nothing is pending.
	Unwritten bool `json:"unwritten,omitempty"`
	// Problems speak against applying anything.
	Problems []Problem `json:"problems,omitempty"`
	// Notes are what a person should know besides.
	Notes []string `json:"notes,omitempty"`
	// Error is why the database could not be looked at; then nothing else is known.
	Error string `json:"error,omitempty"`
}

// Problem is something that speaks against applying anything.
type Problem struct {
	What string `json:"what"`
	// Next is what to do.
	Next string `json:"next"`
}

// Order says what is to be done to a database, and what for.
type Order struct {
	// DSN is the connection string. It appears in no message.
	DSN string
	// Files is the folder with goose's files, Dir its name in messages.
	Files fs.FS
	Dir   string
	// Release is who asks, for the ledger and the sessions' names.
	Release string
	// AllowOlder goes on although the database has expand files that the release
	// does not: it was made before them. AcceptDrift goes on with a schema that was
	// changed by hand, and remembers it as it is now.
	AllowOlder, AcceptDrift bool
}

// looking is how long a look may wait for whoever has locked a table whole. It
// makes nobody else wait.
const looking = 20 * time.Second

// Status says how the database stands to the files. It creates nothing, and its
// sessions could not.
func Status(ctx context.Context, o Order) (State, error) {
	files, err := Parse(o.Files, o.Dir)
	if err != nil {
		return State{}, err
	}
	t, err := reach(o.DSN, o.Release)
	if err != nil {
		return State{}, err
	}
	db := t.open(settings{readOnly: true, lock: looking})
	defer db.Close()
	if p, err := pooler(ctx, db); err != nil || p != nil {
		return State{Problems: p}, err
	}
	state, _, err := look(ctx, db, files, o)
	return state, err
}

// look reads everything that is judged by.
func look(ctx context.Context, db *sql.DB, files []File, o Order) (State, ledger, error) {
	l, err := readLedger(ctx, db)
	if err != nil {
		return State{}, l, fmt.Errorf("read which migrations were applied: %w", err)
	}
	now, err := TakeSnapshot(ctx, db)
	if err != nil {
		return State{}, l, err
	}
	state := judge(files, l, now, o)
	err = state.host(ctx, db, files)
	return state, l, err
}

// judge compares the release's files with what the database says was applied.
func judge(files []File, l ledger, now Snapshot, o Order) State {
	s := State{Version: l.version(), Unwritten: l.Snapshot == nil || l.Snapshot.Entry != l.newest()}
	known := map[int64]bool{}
	for _, f := range files {
		known[f.Version] = true
		entry := l.last(f.Version)
		switch {
		case l.Rows[f.Version]:
			s.Applied = append(s.Applied, f.Name)
			s.Unwritten = s.Unwritten || entry == nil
			s.edited(f, entry)
		case f.Phase == Contract:
			s.Deferred = append(s.Deferred, f.Name)
			s.crashed(f, entry)
		default:
			s.Pending = append(s.Pending, f.Name)
			s.crashed(f, entry)
			s.gap(f, o.Dir)
		}
	}
	s.contracted(files, l)
	s.unknown(known, l, o)
	s.drift(files, l, now, o)
	return s
}

// String says in one line what is applied, pending and deferred.
func (s State) String() string {
	text := fmt.Sprintf("schema is at %d", s.Version)
	if len(s.Pending) == 0 {
		text += "; nothing to apply"
	} else {
		text += "; to apply: " + strings.Join(s.Pending, ", ")
	}
	if len(s.Deferred) > 0 {
		text += "; deferred: " + strings.Join(s.Deferred, ", ")
	}
	return text
}

func (s *State) problem(next, format string, args ...any) {
	s.Problems = append(s.Problems, Problem{What: fmt.Sprintf(format, args...), Next: next})
}

func (s *State) note(format string, args ...any) {
	s.Notes = append(s.Notes, fmt.Sprintf(format, args...))
}

// edited looks whether a file that ran is still the text that ran.
func (s *State) edited(f File, entry *Entry) {
	if entry == nil || entry.Hash == f.Hash {
		return
	}
	s.problem(fmt.Sprintf("git log -- %s   (bring its old text back, and write what shall change as a new file); "+
		"if both mean the same: UPDATE %s SET sha256 = '%s' WHERE id = %d", f.Name, ledgerTable, f.Hash, entry.ID),
		"%s was edited after %s had applied it on %s: the database has the old text, a new one would have the new", f.Name,
		by(entry.Release), entry.Begun.UTC().Format("2006-01-02 15:04"))
}

func by(release string) string {
	if release == "" {
		return "somebody"
	}
	return release
}

// crashed looks whether a file was begun and never finished.
func (s *State) crashed(f File, entry *Entry) {
	if entry == nil || entry.Ended != nil {
		return
	}
	switch {
	case !f.NoTransaction:
		s.note("%s died while %s ran; its transaction was taken back, and the file is applied again", by(entry.Release), f.Name)
	case f.Index != "":
		s.note("%s died while %s made the index %s; what is left of it is dropped, and the file is applied again", by(entry.Release), f.Name, f.Index)
	default:
		s.problem(fmt.Sprintf("look whether it did; if so: INSERT INTO goose_db_version (version_id, is_applied) VALUES (%d, true)\n"+
			"if not: DELETE FROM %s WHERE id = %d", f.Version, ledgerTable, entry.ID),
			"%s died while %s ran without a transaction: whether its statement took effect cannot be told", by(entry.Release), f.Name)
	}
}

// gap looks whether a file comes too late: a later one was applied before it.
func (s *State) gap(f File, dir string) {
	if f.Version < s.Version {
		s.problem("give it a version of its own after all others: git mv "+f.Name+" "+fmt.Sprint(s.Version+1)+strings.TrimLeft(f.Name, "0123456789"),
			"%s was never applied, but the later version %d was: another database would get them in another order", f.Name, s.Version)
	}
}

// contracted collects the contract files that ran.
func (s *State) contracted(files []File, l ledger) {
	phase := map[int64]Phase{}
	for _, f := range files {
		phase[f.Version] = f.Phase
	}
	for _, e := range l.Entries {
		phase[e.Version] = e.Phase
	}
	for v := range l.Rows {
		if phase[v] == Contract {
			s.Contracted = append(s.Contracted, v)
		}
	}
	slices.Sort(s.Contracted)
}

// unknown looks for versions that ran and that the release does not have.
func (s *State) unknown(known map[int64]bool, l ledger, o Order) {
	for _, v := range slices.Sorted(maps.Keys(l.Rows)) {
		if known[v] {
			continue
		}
		entry := l.last(v)
		switch {
		case entry == nil:
			s.problem("bring the branch that has it, or take it back with goose from there",
				"the database has version %d, which this release does not know and no release of cutover applied", v)
		case entry.Phase == Contract:
			s.problem("deploy a release that has "+entry.File,
				"the database has %s, applied by %s: it took away what releases without that file use", entry.File, by(entry.Release))
		case o.AllowOlder:
			s.note("the database has %s, applied by %s, which this older release does not know; it lives with what a later one added", entry.File, by(entry.Release))
		default:
			s.problem("merge what has it; or, if this release is meant to be older, the same command with --allow-older=\"why\"",
				"the database has %s, applied by %s, which this release does not know", entry.File, by(entry.Release))
		}
	}
}

// fewest is how many differences of a schema are named before they are counted.
const fewest = 5

// drift looks whether the schema is still what the last run left. It cannot tell
// when a run died before it could remember, or PostgreSQL words it anew.
func (s *State) drift(files []File, l ledger, now Snapshot, o Order) {
	if l.Snapshot == nil {
		return
	}
	if l.Snapshot.Entry != l.newest() || l.Snapshot.Server != now.Server {
		s.note("whether the schema was changed by hand cannot be told this time: since it was remembered a run died, or PostgreSQL was upgraded")
		return
	}
	var lines []string
	for _, line := range l.Snapshot.Differences(now) {
		if !unfinished(line, files, l) {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return
	}
	text := strings.Join(lines[:min(len(lines), fewest)], "\n  ")
	if more := len(lines) - fewest; more > 0 {
		text += fmt.Sprintf("\n  and %d more", more)
	}
	if o.AcceptDrift {
		s.note("the schema was changed by hand since the last migration, which is accepted:\n  %s", text)
		return
	}
	s.problem("write it as a migration and take the hand's work back, or accept it as it is: the same command with --accept-drift=\"why\"",
		"the schema was changed by hand since the last migration:\n  %s", text)
}

// unfinished reports whether a difference is what a dead run left of an index.
func unfinished(line string, files []File, l ledger) bool {
	for _, f := range files {
		if f.Index == "" || !strings.HasSuffix(line, "(invalid)") {
			continue
		}
		if entry := l.last(f.Version); entry != nil && !entry.applied() && strings.Contains(line, bare(f.Index)) {
			return true
		}
	}
	return false
}

// bare is an SQL name without its schema and quotes.
func bare(name string) string {
	if i := strings.LastIndex(name, "."); i >= 0 {
		name = name[i+1:]
	}
	return strings.Trim(name, `"`)
}

// statePrefix marks the line of a Job's log that holds a State.
const statePrefix = "state: "

// Line returns the line by which a Job tells its State.
func (s State) Line() string { return line(statePrefix, s) }

// ParseState finds the State in a Job's log.
func ParseState(log string) (s State, found bool) {
	found = find(log, statePrefix, &s)
	return s, found
}

func line(prefix string, v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("migrate: %T cannot be encoded: %v", v, err)) // only plain data inside
	}
	return prefix + string(data)
}

// find decodes the last line of the prefix.
func find(log, prefix string, v any) (found bool) {
	for line := range strings.Lines(log) {
		if text, ok := strings.CutPrefix(line, prefix); ok {
			found = json.Unmarshal([]byte(text), v) == nil
		}
	}
	return found
}

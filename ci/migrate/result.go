package migrate

import (
	"fmt"
	"strings"
)

// Applied is one migration that ran.
type Applied struct {
	Version int64   `json:"version"`
	File    string  `json:"file"`
	Seconds float64 `json:"seconds"`
	// Tries is how often it was tried until it had its locks.
	Tries int `json:"tries"`
}

// Result is what a migration did, also when it failed.
type Result struct {
	From    int64     `json:"from"`
	To      int64     `json:"to"`
	Applied []Applied `json:"applied,omitempty"`
	// Problems are why nothing was applied.
	Problems []Problem `json:"problems,omitempty"`
	// Contracted are the versions of contract files that the database has.
	Contracted []int64 `json:"contracted,omitempty"`
	// RestorePoint is where the database can be brought back to, for a run that
	// contracts.
	RestorePoint string `json:"restore_point,omitempty"`
	// Failed is the file that failed, Error why.
	Failed string `json:"failed,omitempty"`
	Error  string `json:"error,omitempty"`
}

// String says in one line what was done.
func (r Result) String() string {
	if len(r.Applied) == 0 {
		return fmt.Sprintf("schema is at %d; nothing to apply", r.To)
	}
	var files []string
	for _, a := range r.Applied {
		text := a.File
		if a.Tries > 1 {
			text += fmt.Sprintf(" (at try %d)", a.Tries)
		}
		files = append(files, text)
	}
	return fmt.Sprintf("schema %d -> %d: %s", r.From, r.To, strings.Join(files, ", "))
}

// resultPrefix marks the line of a Job's log that holds the Result.
const resultPrefix = "result: "

// Line returns the line by which a Job tells its result.
func (r Result) Line() string { return line(resultPrefix, r) }

// ParseResult finds the Result in a Job's log.
func ParseResult(log string) (r Result, found bool) {
	found = find(log, resultPrefix, &r)
	return r, found
}

// Package outcome holds how a command of cutover can end: the exit codes, which
// are part of the product's interface, and the error type whose three sentences
// every user-facing failure must have.
package outcome

import (
	"errors"
	"fmt"
	"strings"
)

// Code is a process exit code that says what is true now. Codes outside this
// list come from Dagger, the shell or a signal and say nothing about the state:
// `cutover status` does.
type Code int

const (
	// Done: what was asked is true.
	Done Code = 0
	// Refused: a gate said no or the input is wrong. Nothing was changed.
	Refused Code = 10
	// Waiting: the run is saved and waits for an approval.
	Waiting Code = 11
	// RolledBack: the run failed, was undone, and the previous version serves.
	RolledBack Code = 12
	// Halted: an undo failed or the state is not what the record says. A person
	// has to look; nothing more was touched.
	Halted Code = 13
	// Failed: a machine or network failed before anything was changed. Trying
	// again is safe.
	Failed Code = 14
)

// Error is a failure as its reader needs it: what happened, what is true now,
// and what to type next.
type Error struct {
	Code Code
	// Err is what happened, in one sentence without a closing period.
	Err error
	// Now is what is true now. Empty for Refused and Failed, which both mean that
	// nothing was changed.
	Now string
	// Next is the command to type.
	Next string
}

// Error returns what happened. Explain tells the rest.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns what happened.
func (e *Error) Unwrap() error { return e.Err }

// Refusef returns a refusal: a gate said no, nothing was changed, and next is
// what to type. The format may wrap a cause with %w.
func Refusef(next, format string, args ...any) *Error {
	return &Error{Code: Refused, Err: fmt.Errorf(format, args...), Next: next}
}

// Failf returns a failure of a machine or network before anything was changed.
func Failf(next, format string, args ...any) *Error {
	return &Error{Code: Failed, Err: fmt.Errorf(format, args...), Next: next}
}

// Fail returns err as it is when it already says what to do, and otherwise as a
// failure before anything was changed.
func Fail(next string, err error) error {
	if _, ok := errors.AsType[*Error](err); ok || err == nil {
		return err
	}
	return Failf(next, "%w", err)
}

// CodeOf returns the exit code for err: Done for nil, the code of the first
// *Error on the way in, and Failed without one.
func CodeOf(err error) Code {
	if err == nil {
		return Done
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Failed
}

// Explain returns err as its reader needs it, over several lines: what happened,
// what is true now, and what to type next.
func Explain(err error) string {
	text := err.Error()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return text
	}
	now := e.Now
	if now == "" {
		now = "nothing was changed"
	}
	text += "\n  now:  " + now
	if e.Next != "" {
		text += "\n  next: " + strings.ReplaceAll(e.Next, "\n", "\n        ")
	}
	return text
}

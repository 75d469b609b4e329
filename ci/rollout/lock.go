package rollout

import (
	"context"
	"errors"
)

// Locker lets one run at a time work on an application.
type Locker interface {
	// Lock takes the lock for holder. The held lock's Context ends with cause
	// ErrLockLost when another holder has it, and with ErrStopAsked when a person
	// wants the run taken back.
	Lock(ctx context.Context, holder string) (Lock, error)
	// AskStop asks whoever holds the lock to take its run back, and reports whether
	// anybody does.
	AskStop(ctx context.Context, by string) (asked bool, err error)
	// WaitFree waits until nobody holds it.
	WaitFree(ctx context.Context) error
}

// Lock is a lock that is held.
type Lock interface {
	Context() context.Context
	// Confirm waits for the cluster to answer and returns ErrLockLost when the
	// lock is another's by then. That there is no answer is no loss.
	Confirm(ctx context.Context) error
	// Unlock gives it back.
	Unlock()
}

var (
	// ErrLockLost is the cause with which a run's context ends when another run has
	// taken over. Nothing more may be written then, nor undone.
	ErrLockLost = errors.New("the lock was lost")
	// ErrStopAsked is the cause with which it ends when somebody asked for the run
	// to be taken back.
	ErrStopAsked = errors.New("the run was asked to go back")
)

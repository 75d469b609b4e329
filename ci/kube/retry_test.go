package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

func TestOnlyAnAnswerThatSaysNothingIsAskedForAgain(t *testing.T) {
	resource := corev1.Resource("services")
	for _, c := range []struct {
		err  error
		want bool
	}{
		{apierrors.NewTimeoutError("", 0), true},
		{apierrors.NewServerTimeout(resource, "get", 0), true},
		{apierrors.NewTooManyRequests("", 0), true},
		{apierrors.NewInternalError(errors.New("etcd")), true},
		{apierrors.NewServiceUnavailable(""), true},
		{fmt.Errorf("dial: %w", syscall.ECONNREFUSED), true},
		{fmt.Errorf("read: %w", syscall.ECONNRESET), true},
		{&url.Error{Op: "Get", URL: "https://x", Err: io.ErrUnexpectedEOF}, true},
		{apierrors.NewNotFound(resource, "notes"), false},
		{apierrors.NewConflict(resource, "notes", nil), false},
		{apierrors.NewAlreadyExists(resource, "notes"), false},
		{apierrors.NewForbidden(resource, "notes", nil), false},
		{apierrors.NewBadRequest(""), false},
		{errors.New("anything else"), false},
		{context.Canceled, false},
		{&url.Error{Op: "Get", URL: "https://x", Err: context.Canceled}, false},
	} {
		require.Equal(t, c.want, unanswered(c.err), "%v", c.err)
	}
}

func TestPersistRepeatsUntilThereIsAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		require.NoError(t, persist(t.Context(), func(context.Context) error {
			if calls++; calls < 20 {
				return apierrors.NewServiceUnavailable("")
			}
			return nil
		}))
		require.Equal(t, 20, calls)
	})
}

func TestPersistEndsWithItsContextAndSaysWhatWasWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		err := persist(ctx, func(context.Context) error { return apierrors.NewServiceUnavailable("etcd is gone") })
		require.ErrorContains(t, err, "etcd is gone")
		require.Equal(t, time.Minute, time.Since(start))
	})
}

package probe

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func kindOf(t *testing.T, err error) Kind {
	t.Helper()
	var failed *Error
	require.ErrorAs(t, err, &failed)
	return failed.Kind
}

func TestGetReturnsAnyStatusAndTheBodyUpToItsLimit(t *testing.T) {
	t.Parallel()
	url := server(t, func(w http.ResponseWriter, r *http.Request) {
		assert.True(t, r.Close, "alone on its connection")
		assert.Equal(t, "/version?full=1", r.RequestURI)
		w.Header().Set("Notes-Version", "v1")
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, strings.Repeat("x", maxBody+1))
	})
	a, err := Get(t.Context(), url+"/version?full=1", 10*time.Second)
	require.NoError(t, err)
	assert.Equal(t, http.StatusTeapot, a.Status)
	assert.Equal(t, "v1", a.Version("Notes-Version"))
	assert.Len(t, a.Body, maxBody)
	assert.Positive(t, a.Latency)
}

func TestGetSaysWhyThereIsNoAnswer(t *testing.T) {
	t.Parallel()
	stalled := server(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })

	_, err := Get(t.Context(), nobody(t), 10*time.Second)
	assert.Equal(t, Dial, kindOf(t, err))

	_, err = Get(t.Context(), stalled, 500*time.Millisecond)
	assert.Equal(t, Timeout, kindOf(t, err))
	assert.ErrorContains(t, err, "within 500ms")

	_, err = Get(t.Context(), "ftp://127.0.0.1", time.Second)
	assert.ErrorContains(t, err, "http://")
	assert.False(t, errors.As(err, new(*Error)))
}

func TestGetEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	url := server(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	_, err := Get(ctx, url, time.Minute)
	assert.ErrorIs(t, err, context.Canceled)
}

func TestVersionComesFromTheHeaderOrTheBody(t *testing.T) {
	t.Parallel()
	header := http.Header{"Notes-Version": {"v2"}}
	assert.Equal(t, "v2", Answer{Header: header, Body: []byte(`{"version":"v1"}`)}.Version("Notes-Version"))
	assert.Equal(t, "v1", Answer{Body: []byte(`{"version":"v1","commit":"c"}`)}.Version("Notes-Version"))
	assert.Empty(t, Answer{Body: []byte("v1")}.Version(""))
	assert.Empty(t, Answer{Body: []byte(`{"version":1}`)}.Version(""))
}

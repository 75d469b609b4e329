package main

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSlowAnswersAsLateAsItIsAskedTo(t *testing.T) {
	t.Parallel()
	base := startNotes(t, migratedDatabase(t))
	for query, want := range map[string]time.Duration{
		"":           time.Second,
		"?for=200ms": 200 * time.Millisecond,
		"?for=0s":    0,
	} {
		start := time.Now()
		answer := get(t, base+"/slow"+query)
		assert.GreaterOrEqual(t, time.Since(start), want, query)
		assert.Equal(t, http.StatusOK, answer.StatusCode, query)
		var said struct{ Waited string }
		answer.json(t, &said)
		assert.Equal(t, want.String(), said.Waited)
	}
}

func TestSlowRefusesWhatIsNoWait(t *testing.T) {
	t.Parallel()
	base := startNotes(t, migratedDatabase(t))
	for _, wait := range []string{"3", "soon", "-1s", "11s", "10001ms"} {
		answer := get(t, base+"/slow?for="+wait)
		assert.Equal(t, http.StatusBadRequest, answer.StatusCode, wait)
		assert.Equal(t, "for must be a duration from 0s to 10s, like 3s", answer.error(t))
	}
}

func TestSlowEndsWithItsClient(t *testing.T) {
	t.Parallel()
	base := startNotes(t, migratedDatabase(t))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/slow?for=10s", nil)
	require.NoError(t, err)
	_, err = http.DefaultClient.Do(request)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.Contains(c, get(t, base+"/metrics").body, `http_requests_total{code="499",route="GET /slow"} 1`)
	}, 5*time.Second, 50*time.Millisecond)
}

package main

import (
	"context"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// withThe links the fault in for the time of a test.
func withThe(t *testing.T, chosen string) {
	t.Helper()
	fault = chosen
	t.Cleanup(func() { fault = "" })
}

func TestAnUnknownFaultIsRefused(t *testing.T) {
	t.Parallel()
	withThe(t, "misspelt")
	err := run(context.Background(), func(string) string { return "1s" })
	assert.ErrorContains(t, err, `there is no fault "misspelt"`)
}

func TestTheFaultNeverReady(t *testing.T) {
	t.Parallel()
	withThe(t, "never-ready")
	base := startNotes(t, migratedDatabase(t))
	code, reason := ready(t, base)
	assert.Equal(t, http.StatusServiceUnavailable, code)
	assert.Equal(t, "built never to be ready", reason)
	assert.Equal(t, http.StatusOK, get(t, base+"/livez").StatusCode)
}

func TestTheFaultErrorsFailsSomeRequestsOfNotesOnly(t *testing.T) {
	t.Parallel()
	withThe(t, "errors")
	base := startNotes(t, migratedDatabase(t))
	failed := 0
	for range 400 {
		if get(t, base+"/notes").StatusCode == http.StatusInternalServerError {
			failed++
		}
		require.Equal(t, http.StatusOK, get(t, base+"/readyz").StatusCode)
	}
	assert.InDelta(t, 20, failed, 19, "about 5%% of 400")
}

func TestTheFaultSlowSparesTheProbes(t *testing.T) {
	t.Parallel()
	withThe(t, "slow")
	base := startNotes(t, migratedDatabase(t))
	start := time.Now()
	get(t, base+"/readyz")
	assert.Less(t, time.Since(start), 2*time.Second)
	get(t, base+"/notes")
	assert.GreaterOrEqual(t, time.Since(start), 2*time.Second)
}

func TestTheFaultWrongVersionIsTold(t *testing.T) {
	t.Parallel()
	p := startProcess(t, migratedDatabase(t), "NOTES_TEST_FAULT=wrong-version")
	answer := get(t, p.base+"/version")
	assert.Contains(t, answer.body, `"dev-wrong"`)
	assert.Equal(t, "dev-wrong", answer.Header.Get("Notes-Version"))
}

func TestTheFaultCrashEndsTheProcess(t *testing.T) {
	t.Parallel()
	p := startProcess(t, migratedDatabase(t), "NOTES_TEST_FAULT=crash")
	var exit *exec.ExitError
	require.ErrorAs(t, p.Wait(), &exit)
	assert.Equal(t, 1, exit.ExitCode())
}

func TestTheFaultHangIgnoresSIGTERM(t *testing.T) {
	t.Parallel()
	p := startProcess(t, migratedDatabase(t), "NOTES_TEST_FAULT=hang")
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	time.Sleep(time.Second) // The drain is 200 ms.
	assert.Equal(t, http.StatusOK, get(t, p.base+"/readyz").StatusCode)
}

func TestTheFaultLeakTakesMemory(t *testing.T) {
	t.Parallel()
	p := startProcess(t, migratedDatabase(t), "NOTES_TEST_FAULT=leak")
	assert.Eventually(t, func() bool {
		metrics := get(t, p.base+"/metrics").body
		_, heap, _ := strings.Cut(metrics, "\ngo_memstats_heap_alloc_bytes ")
		heap, _, _ = strings.Cut(heap, "\n")
		bytes, err := strconv.ParseFloat(heap, 64)
		return err == nil && bytes > 3*20<<20
	}, 20*time.Second, 200*time.Millisecond)
}

package main

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// startFaulty starts a program into which the fault is linked. It is a process
// of its own, so that the tests beside it behave.
func startFaulty(t *testing.T, fault string) process {
	t.Helper()
	return startProcess(t, migratedDatabase(t), "NOTES_TEST_FAULT="+fault)
}

func TestAnUnknownFaultIsRefused(t *testing.T) {
	t.Parallel()
	notes := exec.CommandContext(t.Context(), os.Args[0])
	notes.Env = append(os.Environ(), "NOTES_TEST_PROCESS=1", "NOTES_TEST_FAULT=misspelt", "DATABASE_URL="+dsn("absent"))
	out, err := notes.CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(out), `there is no fault \"misspelt\"`)
}

func TestTheFaultNeverReady(t *testing.T) {
	t.Parallel()
	base := startFaulty(t, "never-ready").base
	code, reason := ready(t, base)
	assert.Equal(t, http.StatusServiceUnavailable, code)
	assert.Equal(t, "built never to be ready", reason)
	assert.Equal(t, http.StatusOK, get(t, base+"/livez").StatusCode)
}

func TestTheFaultErrorsFailsSomeRequestsOfNotesOnly(t *testing.T) {
	t.Parallel()
	base := startFaulty(t, "errors").base
	failed := 0
	for range 400 {
		if get(t, base+"/notes").StatusCode == http.StatusInternalServerError {
			failed++
		}
		require.Equal(t, http.StatusOK, get(t, base+"/readyz").StatusCode)
	}
	assert.InDelta(t, 20, failed, 19, "about 5%% of 400")
	for range 200 {
		code, _ := preview(t, base+"/notes")
		require.Equal(t, http.StatusOK, code)
	}
}

// preview asks as through a preview Service.
func preview(t *testing.T, url string) (code int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	require.NoError(t, err)
	request.Host = "notes-preview"
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(text)
}

func TestTheFaultsForgetfulAndTwoFacedListNothing(t *testing.T) {
	t.Parallel()
	for fault, throughPreview := range map[string]bool{"forgetful": false, "two-faced": true} {
		base := startFaulty(t, fault).base
		response, err := http.Post(base+"/notes", "application/json", strings.NewReader(`{"title": "Milk"}`))
		require.NoError(t, err)
		response.Body.Close()
		assert.JSONEq(t, `[]`, get(t, base+"/notes").body, fault)
		_, body := preview(t, base+"/notes")
		assert.Equal(t, throughPreview, strings.Contains(body, "Milk"), fault)
	}
}

func TestTheFaultSlowSparesTheProbes(t *testing.T) {
	t.Parallel()
	base := startFaulty(t, "slow").base
	start := time.Now()
	get(t, base+"/readyz")
	assert.Less(t, time.Since(start), 2*time.Second)
	get(t, base+"/notes")
	assert.GreaterOrEqual(t, time.Since(start), 2*time.Second)
}

func TestTheFaultSluggishIsSeenByUsersOnly(t *testing.T) {
	t.Parallel()
	base := startFaulty(t, "sluggish").base
	start := time.Now()
	get(t, base+"/notes")
	assert.GreaterOrEqual(t, time.Since(start), time.Second)
	start = time.Now()
	preview(t, base+"/notes")
	get(t, base+"/version")
	assert.Less(t, time.Since(start), time.Second)
}

func TestTheFaultMiscountIsOnlyInTheMetric(t *testing.T) {
	t.Parallel()
	base := startFaulty(t, "miscount").base
	response, err := http.Post(base+"/notes", "application/json", strings.NewReader(`{"title": "Milk"}`))
	require.NoError(t, err)
	response.Body.Close()
	assert.Equal(t, http.StatusCreated, response.StatusCode)
	assert.Contains(t, get(t, base+"/metrics").body, "\nnotes_created_total 1000\n")
}

func TestTheFaultWrongVersionIsTold(t *testing.T) {
	t.Parallel()
	p := startFaulty(t, "wrong-version")
	answer := get(t, p.base+"/version")
	assert.Contains(t, answer.body, `"dev-wrong"`)
	assert.Equal(t, "dev-wrong", answer.Header.Get("Notes-Version"))
}

func TestTheFaultCrashEndsTheProcess(t *testing.T) {
	t.Parallel()
	p := startFaulty(t, "crash")
	var exit *exec.ExitError
	require.ErrorAs(t, p.Wait(), &exit)
	assert.Equal(t, 1, exit.ExitCode())
}

func TestTheFaultHangIgnoresSIGTERM(t *testing.T) {
	t.Parallel()
	p := startFaulty(t, "hang")
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	time.Sleep(time.Second) // The drain is 200 ms.
	assert.Equal(t, http.StatusOK, get(t, p.base+"/readyz").StatusCode)
}

func TestTheFaultAbruptCutsOffWhatIsInFlight(t *testing.T) {
	t.Parallel()
	p := startFaulty(t, "abrupt")
	c := &client{address: func() string { return strings.TrimPrefix(p.base, "http://") }}
	defer c.close()
	_, err := c.do("GET", "/livez", "")
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() {
		_, err := c.do("GET", "/slow?for=10s", "")
		ended <- err
	}()
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	assert.Error(t, <-ended)
	var exit *exec.ExitError
	require.ErrorAs(t, p.Wait(), &exit)
	assert.NotContains(t, p.log.String(), "every request was answered")
}

func TestTheFaultDropsIdleClosesAConnectionWithoutAWord(t *testing.T) {
	t.Parallel()
	p := startFaulty(t, "drops-idle")
	c := &client{address: func() string { return strings.TrimPrefix(p.base, "http://") }}
	defer c.close()
	response, err := c.do("GET", "/livez", "")
	require.NoError(t, err)
	require.False(t, response.Close)
	_, err = c.reader.ReadByte() // within the client's deadline
	assert.ErrorIs(t, err, io.EOF)
}

func TestTheFaultLeakTakesMemory(t *testing.T) {
	t.Parallel()
	p := startFaulty(t, "leak")
	assert.Eventually(t, func() bool {
		metrics := get(t, p.base+"/metrics").body
		_, heap, _ := strings.Cut(metrics, "\ngo_memstats_heap_alloc_bytes ")
		heap, _, _ = strings.Cut(heap, "\n")
		bytes, err := strconv.ParseFloat(heap, 64)
		return err == nil && bytes > 3*20<<20
	}, 20*time.Second, 200*time.Millisecond)
}

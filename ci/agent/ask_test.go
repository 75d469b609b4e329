package agent

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// answers asks a server that speaks Prometheus's protocol once.
func answers(t *testing.T, status int, body string) Measurement {
	t.Helper()
	var asked string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Path + " " + r.FormValue("query")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	defer server.Close()
	prometheus, err := Metrics{URL: server.URL, Interval: time.Second}.server()
	require.NoError(t, err)
	got := measure(t.Context(), prometheus, "up")
	require.Equal(t, "/api/v1/query up", asked)
	require.WithinDuration(t, time.Now(), got.At, time.Minute)
	got.At = time.Time{}
	return got
}

func data(kind, result string) string {
	return fmt.Sprintf(`{"status": "success", "data": {"resultType": %q, "result": %s}}`, kind, result)
}

func TestAnAnswerIsTheBoundsOfItsSeries(t *testing.T) {
	for _, c := range []struct {
		body        string
		least, most float64
	}{
		{data("scalar", `[1, "0.25"]`), 0.25, 0.25},
		{data("vector", `[{"metric": {}, "value": [1, "3"]}]`), 3, 3},
		{data("vector", `[{"metric": {"pod": "a"}, "value": [1, "3"]}, {"metric": {"pod": "b"}, "value": [1, "-1"]}]`), -1, 3},
		{data("vector", `[{"metric": {}, "value": [1, "+Inf"]}]`), math.MaxFloat64, math.MaxFloat64},
	} {
		require.Equal(t, Measurement{Least: c.least, Most: c.most}, answers(t, 200, c.body), c.body)
	}
}

func TestWhatIsNoNumberIsNoData(t *testing.T) {
	for _, c := range []struct {
		status     int
		body, says string
	}{
		{200, data("vector", `[]`), "the answer is empty"},
		{200, data("vector", `[{"metric": {}, "value": [1, "NaN"]}]`), "the answer is not a number (NaN)"},
		{200, data("matrix", `[]`), "the answer is a matrix, not numbers of one moment"},
		{400, `{"status": "error", "errorType": "bad_data", "error": "parse error"}`, "bad_data: parse error"},
		{503, `gone for lunch`, "server_error: server error: 503"},
	} {
		require.Equal(t, c.says, answers(t, c.status, c.body).NoData, c.body)
	}
}

func TestAPrometheusThatIsNotThereIsNoData(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	prometheus, err := Metrics{URL: server.URL, Interval: time.Second}.server()
	require.NoError(t, err)
	require.Contains(t, measure(t.Context(), prometheus, "up").NoData, "connection refused")
}

func TestWatchTellsWhatWasMeasured(t *testing.T) {
	next := watching(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/version" {
			fmt.Fprint(w, `{"version": "1"}`)
			return
		}
		fmt.Fprint(w, data("scalar", `[1, "7"]`))
	}, func(url string, c *Config) {
		c.Metrics = &Metrics{URL: url, Interval: 10 * time.Millisecond, Queries: map[string]string{"load": "1"}}
	})
	for told := 0; told < 2; {
		if m := next().Measurement; m != nil {
			require.Equal(t, Measurement{Metric: "load", At: m.At, Least: 7, Most: 7}, *m)
			told++
		}
	}
}

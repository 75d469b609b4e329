package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// startNotes serves notes from the database and answers the base URL.
func startNotes(t *testing.T, databaseURL string) string {
	t.Helper()
	s := newNotes(t, databaseURL)
	web := httptest.NewServer(s.handler())
	t.Cleanup(web.Close)
	return web.URL
}

func newNotes(t *testing.T, databaseURL string) *server {
	t.Helper()
	store, err := openStore(databaseURL)
	require.NoError(t, err)
	t.Cleanup(store.close)
	return newServer(store, "blue-7")
}

// got is a response with its body read.
type got struct {
	*http.Response
	body string
}

func (g got) json(t *testing.T, into any) {
	t.Helper()
	assert.Equal(t, "application/json", g.Header.Get("Content-Type"))
	require.NoError(t, json.Unmarshal([]byte(g.body), into), g.body)
}

func (g got) error(t *testing.T) string {
	t.Helper()
	var answer struct{ Error string }
	g.json(t, &answer)
	return answer.Error
}

func send(t *testing.T, request *http.Request) got {
	t.Helper()
	// A redirection is an answer to look at here.
	client := http.Client{
		Timeout:       20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return got{response, string(body)}
}

func get(t *testing.T, url string) got {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	return send(t, request)
}

func post(t *testing.T, url, contentType, body string) got {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", contentType)
	return send(t, request)
}

func postNote(t *testing.T, base, title, body string) note {
	t.Helper()
	sent, err := json.Marshal(draft{Title: title, Body: body})
	require.NoError(t, err)
	answer := post(t, base+"/notes", "application/json", string(sent))
	require.Equal(t, http.StatusCreated, answer.StatusCode, answer.body)
	var created note
	answer.json(t, &created)
	return created
}

func TestANoteCanBeAddedAndReadBack(t *testing.T) {
	t.Parallel()
	base := startNotes(t, migratedDatabase(t))

	answer := post(t, base+"/notes", "application/json", `{"title": " Milk ", "body": "two litres\n"}`)
	require.Equal(t, http.StatusCreated, answer.StatusCode, answer.body)
	var created note
	answer.json(t, &created)
	assert.Equal(t, "Milk", created.Title, "without the space around it")
	assert.Equal(t, "two litres\n", created.Body)
	assert.WithinDuration(t, time.Now(), created.CreatedAt, time.Minute)
	assert.Equal(t, fmt.Sprintf("/notes/%d", created.ID), answer.Header.Get("Location"))

	answer = get(t, base+answer.Header.Get("Location"))
	require.Equal(t, http.StatusOK, answer.StatusCode, answer.body)
	var read note
	answer.json(t, &read)
	assert.Equal(t, created, read)
}

func TestTheBodyOfANoteMayBeLeftOut(t *testing.T) {
	t.Parallel()
	base := startNotes(t, migratedDatabase(t))
	answer := post(t, base+"/notes", "application/json", `{"title": "Milk"}`)
	assert.Equal(t, http.StatusCreated, answer.StatusCode, answer.body)
}

func TestNotesAreListedNewestFirstUpToTheLimit(t *testing.T) {
	t.Parallel()
	base := startNotes(t, migratedDatabase(t))
	titles := func(query string) []string {
		answer := get(t, base+"/notes"+query)
		require.Equal(t, http.StatusOK, answer.StatusCode, answer.body)
		var notes []note
		answer.json(t, &notes)
		titles := []string{}
		for _, n := range notes {
			titles = append(titles, n.Title)
		}
		return titles
	}
	assert.JSONEq(t, "[]", get(t, base+"/notes").body, "no notes are an empty list, not null")

	for i := range 60 {
		postNote(t, base, fmt.Sprintf("note %d", i), "")
	}
	assert.Equal(t, []string{"note 59", "note 58", "note 57"}, titles("?limit=3"))
	assert.Len(t, titles(""), 50)
	assert.Len(t, titles("?limit=200"), 60)
}

func TestALimitOutOfRangeIsRefused(t *testing.T) {
	t.Parallel()
	base := startNotes(t, migratedDatabase(t))
	for _, limit := range []string{"0", "-1", "201", "many", "1.5"} {
		answer := get(t, base+"/notes?limit="+limit)
		assert.Equal(t, http.StatusBadRequest, answer.StatusCode, limit)
		assert.Equal(t, "limit must be a number from 1 to 200", answer.error(t), limit)
	}
}

func TestBadInputIsRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	base := startNotes(t, migratedDatabase(t))
	for name, refused := range map[string]struct{ sent, reason string }{
		"nothing":            {``, "not a note in JSON"},
		"not JSON":           {`title=Milk`, "not a note in JSON"},
		"another type":       {`{"title": 7}`, "not a note in JSON"},
		"an unknown field":   {`{"title": "Milk", "colour": "white"}`, `unknown field "colour"`},
		"two notes":          {`{"title": "Milk"} {"title": "Bread"}`, "something after the note"},
		"null":               {`null`, "the title is missing"},
		"no title":           {`{"body": "two litres"}`, "the title is missing"},
		"a title of spaces":  {`{"title": " \n "}`, "the title is missing"},
		"a title too long":   {`{"title": "` + strings.Repeat("ü", 201) + `"}`, "the title has 201 characters"},
		"a body too long":    {`{"title": "Milk", "body": "` + strings.Repeat("x", 10<<10+1) + `"}`, "the body has 10241 bytes"},
		"a request too long": {`{"title": "Milk", "body": "` + strings.Repeat("x", 200<<10) + `"}`, "too large"},
		"a NUL character":    {`{"title": "Milk\u0000"}`, "NUL"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := post(t, base+"/notes", "application/json", refused.sent)
			assert.Equal(t, http.StatusBadRequest, answer.StatusCode)
			assert.Contains(t, answer.error(t), refused.reason)
		})
	}
}

func TestTheLargestNoteIsAccepted(t *testing.T) {
	t.Parallel()
	base := startNotes(t, migratedDatabase(t))
	title, body := strings.Repeat("ü", 200), strings.Repeat("\x01", 10<<10) // JSON writes \u0001
	created := postNote(t, base, title, body)
	assert.Equal(t, title, created.Title)
	assert.Equal(t, body, created.Body)
}

func TestAnUnknownNoteIsNotFound(t *testing.T) {
	t.Parallel()
	base := startNotes(t, migratedDatabase(t))
	for _, id := range []string{"1", "-1", "milk", "99999999999999999999"} {
		answer := get(t, base+"/notes/"+id)
		assert.Equal(t, http.StatusNotFound, answer.StatusCode, id)
		assert.Equal(t, errNoNote.Error(), answer.error(t), id)
	}
}

func TestAFailingDatabaseIsAnErrorWithoutItsDetails(t *testing.T) {
	t.Parallel()
	base := startNotes(t, emptyDatabase(t)) // The table is missing.
	for _, answer := range []got{
		get(t, base+"/notes"),
		get(t, base+"/notes/1"),
		post(t, base+"/notes", "application/json", `{"title": "Milk"}`),
	} {
		assert.Equal(t, http.StatusInternalServerError, answer.StatusCode)
		assert.NotContains(t, answer.error(t), "relation")
	}
}

func TestEveryAnswerSaysWhichVersionGaveIt(t *testing.T) {
	t.Parallel()
	base := startNotes(t, migratedDatabase(t))
	for _, path := range []string{"/", "/notes", "/notes/1", "/livez", "/readyz", "/version", "/metrics", "/nowhere"} {
		assert.Equal(t, "dev", get(t, base+path).Header.Get("Notes-Version"), path)
	}
}

func TestTheVersionAndTheReleaseAreTold(t *testing.T) {
	t.Parallel()
	base := startNotes(t, migratedDatabase(t))
	assert.JSONEq(t, `{"version": "dev", "release": "blue-7"}`, get(t, base+"/version").body)
}

func TestMetricsCountRequestsByRouteAndCode(t *testing.T) {
	t.Parallel()
	base := startNotes(t, migratedDatabase(t))
	postNote(t, base, "Milk", "")
	get(t, base+"/notes/1")
	get(t, base+"/notes/2")
	get(t, base+"/nowhere")

	metrics := get(t, base+"/metrics").body
	for _, line := range []string{
		`http_requests_total{code="201",route="POST /notes"} 1`,
		`http_requests_total{code="200",route="GET /notes/{id}"} 1`,
		`http_requests_total{code="404",route="GET /notes/{id}"} 1`,
		`http_requests_total{code="404",route="none"} 1`,
		`http_request_duration_seconds_count{route="GET /notes/{id}"} 2`,
		`notes_created_total 1`,
		`notes_db_connections_max 10`,
	} {
		assert.Contains(t, metrics, line+"\n")
	}
}

func TestAnotherSitesPageCannotAddNotes(t *testing.T) {
	t.Parallel()
	base := startNotes(t, migratedDatabase(t))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/", strings.NewReader("title=Milk"))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Origin", "https://elsewhere.example")
	request.Header.Set("Sec-Fetch-Site", "cross-site")
	assert.Equal(t, http.StatusForbidden, send(t, request).StatusCode)
	assert.JSONEq(t, "[]", get(t, base+"/notes").body)
}

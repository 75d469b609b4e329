package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"unicode/utf8"
)

// Limits of what a client may send and ask for.
const (
	maxTitle   = 200       // characters
	maxBody    = 10 << 10  // bytes
	maxRequest = 100 << 10 // bytes: room for a body in which every byte is escaped

	defaultLimit = 50
	maxLimit     = 200
)

// server answers the requests.
type server struct {
	store    *store
	release  string // CUTOVER_RELEASE
	metrics  *metrics
	draining atomic.Bool            // since shutdown began
	reason   atomic.Pointer[string] // what /readyz answered last
}

func newServer(store *store, release string) *server {
	return &server{store: store, release: release, metrics: newMetrics(store.pool)}
}

// handler is everything that the service answers.
func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, h http.HandlerFunc) {
		mux.Handle(pattern, withFault(h))
	}
	handle("POST /notes", s.createNote)
	handle("GET /notes", s.listNotes)
	handle("GET /notes/{id}", s.getNote)
	handle("GET /{$}", s.showPage)
	handle("POST /{$}", s.submitPage)
	handle("GET /slow", s.waitAndAnswer)
	handle("GET /livez", s.livez)
	handle("GET /readyz", s.readyz)
	handle("GET /version", s.showVersion)
	mux.Handle("GET /metrics", s.metrics.handler())

	// Another site's page must not add notes by way of a visitor's browser.
	return s.everyAnswer(http.NewCrossOriginProtection().Handler(mux))
}

// everyAnswer does what all answers have in common: they say which version gave
// them, they are counted, and while the server drains they ask the client not to
// use its connection again (see shutdown.go).
func (s *server) everyAnswer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		done := s.metrics.begin()
		w.Header().Set("Notes-Version", version)
		a := &answer{ResponseWriter: w, draining: &s.draining}
		next.ServeHTTP(a, r)
		if a.code == 0 {
			a.WriteHeader(http.StatusOK)
		}
		done(r.Pattern, a.code)
	})
}

// answer is a response that remembers its status code.
type answer struct {
	http.ResponseWriter
	draining *atomic.Bool
	code     int
}

// WriteHeader looks at draining as late as it can: an answer to a request that
// came before the shutdown began closes its connection too.
func (a *answer) WriteHeader(code int) {
	if a.code == 0 {
		a.code = code
		if a.draining.Load() {
			a.Header().Set("Connection", "close")
		}
	}
	a.ResponseWriter.WriteHeader(code)
}

func (a *answer) Write(p []byte) (int, error) {
	if a.code == 0 {
		a.WriteHeader(http.StatusOK)
	}
	return a.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (s *server) createNote(w http.ResponseWriter, r *http.Request) {
	draft, err := readDraft(http.MaxBytesReader(w, r.Body, maxRequest))
	if err == nil {
		draft, err = draft.checked()
	}
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	created, err := s.store.create(r.Context(), draft.Title, draft.Body)
	if err != nil {
		fail(r.Context(), w, "the note could not be stored", err)
		return
	}
	s.metrics.created.Add(eachNote())
	w.Header().Set("Location", fmt.Sprintf("/notes/%d", created.ID))
	writeJSON(w, http.StatusCreated, created)
}

func (s *server) listNotes(w http.ResponseWriter, r *http.Request) {
	limit, err := limitOf(r)
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	notes, err := s.store.list(r.Context(), limit)
	if err != nil {
		fail(r.Context(), w, "the notes could not be read", err)
		return
	}
	writeJSON(w, http.StatusOK, notes)
}

func (s *server) getNote(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil { // No note has an id that is not a number.
		writeError(w, http.StatusNotFound, errNoNote.Error())
		return
	}
	found, err := s.store.get(r.Context(), id)
	switch {
	case errors.Is(err, errNoNote):
		writeError(w, http.StatusNotFound, err.Error())
	case err != nil:
		fail(r.Context(), w, "the note could not be read", err)
	default:
		writeJSON(w, http.StatusOK, found)
	}
}

func (s *server) showVersion(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"version": version, "release": s.release})
}

// draft is a note that a client would like to add.
type draft struct {
	Title string `json:"title"`
	Body  string `json:"body"`
}

// readDraft reads one JSON object and nothing after it.
func readDraft(r io.Reader) (draft, error) {
	var d draft
	decoder := json.NewDecoder(r)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		return draft{}, fmt.Errorf("the request is not a note in JSON: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return draft{}, errors.New("the request has something after the note")
	}
	return d, nil
}

// checked answers the draft without space around its title, or why it can't
// become a note.
func (d draft) checked() (draft, error) {
	d.Title = strings.TrimSpace(d.Title)
	switch length := utf8.RuneCountInString(d.Title); {
	case length == 0:
		return d, errors.New("the title is missing")
	case length > maxTitle:
		return d, fmt.Errorf("the title has %d characters: it may have up to %d", length, maxTitle)
	case len(d.Body) > maxBody:
		return d, fmt.Errorf("the body has %d bytes: it may have up to %d", len(d.Body), maxBody)
	}
	// PostgreSQL can store neither in a text.
	if text := d.Title + d.Body; !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return d, errors.New("the text must be UTF-8 without NUL characters")
	}
	return d, nil
}

// limitOf answers how many notes a request asks for.
func limitOf(r *http.Request) (int, error) {
	value := r.URL.Query().Get("limit")
	if value == "" {
		return defaultLimit, nil
	}
	limit, err := strconv.Atoi(value)
	if err != nil || limit < 1 || limit > maxLimit {
		return 0, fmt.Errorf("limit must be a number from 1 to %d", maxLimit)
	}
	return limit, nil
}

// fail answers 500 and logs why. Clients learn only what could not be done.
func fail(ctx context.Context, w http.ResponseWriter, what string, err error) {
	slog.ErrorContext(ctx, what, "error", err)
	writeError(w, http.StatusInternalServerError, what)
}

func writeError(w http.ResponseWriter, code int, message string) {
	writeJSON(w, code, map[string]string{"error": message})
}

func writeJSON(w http.ResponseWriter, code int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	// An error here means that the client has gone.
	_ = json.NewEncoder(w).Encode(value)
}

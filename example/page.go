package main

import (
	"bytes"
	_ "embed"
	"html/template"
	"log/slog"
	"net/http"
)

//go:embed page.html
var pageHTML string

// page escapes whatever it shows: html/template knows the places in HTML.
var page = template.Must(template.New("page").Parse(pageHTML))

// pageData is what the page shows.
type pageData struct {
	Notes    []note
	Draft    draft  // what the visitor typed, if it was refused
	Error    string // why it was refused
	Version  string
	Release  string
	MaxTitle int
	MaxBody  int
}

func (s *server) showPage(w http.ResponseWriter, r *http.Request) {
	s.writePage(w, r, http.StatusOK, draft{}, "")
}

// submitPage adds the note of the page's form. It answers with a redirection, so
// that reloading the page doesn't add the note again.
func (s *server) submitPage(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
	if err := r.ParseForm(); err != nil {
		s.writePage(w, r, http.StatusBadRequest, draft{}, "the form could not be read")
		return
	}
	typed := draft{Title: r.PostForm.Get("title"), Body: r.PostForm.Get("body")}
	checked, err := typed.checked()
	if err != nil {
		s.writePage(w, r, http.StatusBadRequest, typed, err.Error())
		return
	}
	if _, err := s.store.create(r.Context(), checked.Title, checked.Body); err != nil {
		slog.ErrorContext(r.Context(), "the note could not be stored", "error", err)
		s.writePage(w, r, http.StatusInternalServerError, typed, "the note could not be stored")
		return
	}
	s.metrics.created.Add(eachNote())
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *server) writePage(w http.ResponseWriter, r *http.Request, code int, typed draft, problem string) {
	limit, err := limitOf(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	notes, err := s.store.list(r.Context(), limit)
	if err != nil {
		slog.ErrorContext(r.Context(), "the notes could not be read", "error", err)
		http.Error(w, "the notes could not be read", http.StatusInternalServerError)
		return
	}
	// Into memory first: half a page would have been sent as 200.
	var html bytes.Buffer
	if err := page.Execute(&html, pageData{
		Notes: notes, Draft: typed, Error: problem,
		Version: version, Release: s.release,
		MaxTitle: maxTitle, MaxBody: maxBody,
	}); err != nil {
		slog.ErrorContext(r.Context(), "the page could not be made", "error", err)
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy",
		"default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	w.WriteHeader(code)
	_, _ = html.WriteTo(w) // An error here means that the client has gone.
}

package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

const formType = "application/x-www-form-urlencoded"

func TestThePageAddsANoteAndShowsIt(t *testing.T) {
	t.Parallel()
	base := startNotes(t, migratedDatabase(t))

	empty := get(t, base+"/")
	assert.Equal(t, http.StatusOK, empty.StatusCode)
	assert.Equal(t, "text/html; charset=utf-8", empty.Header.Get("Content-Type"))
	assert.Contains(t, empty.body, "There are no notes yet.")
	assert.Contains(t, empty.body, "notes dev, release blue-7")

	added := post(t, base+"/", formType, url.Values{"title": {"Milk"}, "body": {"two litres"}}.Encode())
	assert.Equal(t, http.StatusSeeOther, added.StatusCode)
	assert.Equal(t, "/", added.Header.Get("Location"))

	shown := get(t, base+"/").body
	assert.Contains(t, shown, "<h2>Milk</h2>")
	assert.Contains(t, shown, "<p>two litres</p>")
}

func TestThePageEscapesNotes(t *testing.T) {
	t.Parallel()
	base := startNotes(t, migratedDatabase(t))
	postNote(t, base, `<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`)
	shown := get(t, base+"/").body
	assert.NotContains(t, shown, "<script>")
	assert.NotContains(t, shown, "<img")
	assert.Contains(t, shown, "&lt;script&gt;alert(1)&lt;/script&gt;")
}

func TestThePageSaysWhyANoteWasRefusedAndKeepsWhatWasTyped(t *testing.T) {
	t.Parallel()
	base := startNotes(t, migratedDatabase(t))
	refused := post(t, base+"/", formType, url.Values{"title": {strings.Repeat("x", 201)}, "body": {"two <litres>"}}.Encode())
	assert.Equal(t, http.StatusBadRequest, refused.StatusCode)
	assert.Contains(t, refused.body, "Not added: the title has 201 characters: it may have up to 200.")
	assert.Contains(t, refused.body, "two &lt;litres&gt;</textarea>")
	assert.Contains(t, refused.body, "There are no notes yet.")

	for name, sent := range map[string]string{
		"not UTF-8": "title=%ff",
		"too large": "title=Milk&body=" + strings.Repeat("x", 200<<10),
		"malformed": "title=%zz",
	} {
		assert.Equal(t, http.StatusBadRequest, post(t, base+"/", formType, sent).StatusCode, name)
	}
}

func TestThePageWithoutADatabaseIsAnError(t *testing.T) {
	t.Parallel()
	base := startNotes(t, emptyDatabase(t))
	assert.Equal(t, http.StatusInternalServerError, get(t, base+"/").StatusCode)
	assert.Equal(t, http.StatusInternalServerError, post(t, base+"/", formType, "title=Milk").StatusCode)
}

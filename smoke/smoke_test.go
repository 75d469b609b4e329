package smoke

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	// answerTimeout is when a request counts as lost.
	answerTimeout = 5 * time.Second
	// promptly is how soon the quickest of a few answers has to come.
	promptly = time.Second
)

type note struct {
	ID        int64     `json:"id"`
	Title     string    `json:"title"`
	Body      string    `json:"body"`
	CreatedAt time.Time `json:"created_at"`
}

// service is the notes that BASE_URL names.
type service struct {
	base   string
	client *http.Client
}

// notes answers the service to check, or skips the test.
func notes(t *testing.T) service {
	t.Helper()
	base := os.Getenv("BASE_URL")
	if base == "" {
		t.Skip("BASE_URL is not set: it names the running notes to check, like http://localhost:8080")
	}
	return service{
		base: strings.TrimSuffix(base, "/"),
		client: &http.Client{
			Timeout: answerTimeout,
			// A redirection is an answer to look at here.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// answer is a response with its body read.
type answer struct {
	*http.Response
	body []byte
}

// send answers an error rather than failing the test, so that any goroutine may
// call it.
func (s service) send(ctx context.Context, method, path, contentType, body string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, s.base+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := s.client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	return answer{response, read}, err
}

// get asks for the path and requires 200.
func (s service) get(t *testing.T, path string) answer {
	t.Helper()
	a, err := s.send(t.Context(), http.MethodGet, path, "", "")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.StatusCode, "GET %s: %s", path, a.body)
	return a
}

func (s service) create(ctx context.Context, title, body string) (note, error) {
	sent, err := json.Marshal(map[string]string{"title": title, "body": body})
	if err != nil {
		return note{}, err
	}
	a, err := s.send(ctx, http.MethodPost, "/notes", "application/json", string(sent))
	if err != nil {
		return note{}, err
	}
	if a.StatusCode != http.StatusCreated {
		return note{}, fmt.Errorf("POST /notes: %s: %s", a.Status, a.body)
	}
	created, err := decode[note](a)
	if want := fmt.Sprintf("/notes/%d", created.ID); err == nil && !strings.HasSuffix(a.Header.Get("Location"), want) {
		err = fmt.Errorf("POST /notes: the location is %q, not %q", a.Header.Get("Location"), want)
	}
	return created, err
}

func (s service) read(ctx context.Context, id int64) (note, error) {
	path := fmt.Sprintf("/notes/%d", id)
	a, err := s.send(ctx, http.MethodGet, path, "", "")
	if err != nil {
		return note{}, err
	}
	if a.StatusCode != http.StatusOK {
		return note{}, fmt.Errorf("GET %s: %s: %s", path, a.Status, a.body)
	}
	return decode[note](a)
}

func decode[T any](a answer) (T, error) {
	var value T
	if err := json.NewDecoder(bytes.NewReader(a.body)).Decode(&value); err != nil {
		return value, fmt.Errorf("%s: %w: %s", a.Request.URL.Path, err, a.body)
	}
	return value, nil
}

// title is one that no other note has.
func title(what string) string {
	return fmt.Sprintf("smoke: %s %016x", what, rand.Uint64())
}

func TestTheExpectedVersionAnswers(t *testing.T) {
	s := notes(t)
	a := s.get(t, "/version")
	said, err := decode[struct{ Version, Release string }](a)
	require.NoError(t, err)
	t.Logf("version %q, release %q", said.Version, said.Release)
	assert.NotEmpty(t, said.Version)
	assert.Equal(t, said.Version, a.Header.Get("Notes-Version"))

	if want := os.Getenv("EXPECT_VERSION"); want != "" {
		assert.Equal(t, want, said.Version)
		assert.Equal(t, want, s.get(t, "/notes").Header.Get("Notes-Version"))
	}
}

func TestItIsAliveAndReady(t *testing.T) {
	s := notes(t)
	s.get(t, "/livez")
	s.get(t, "/readyz")
}

func TestAnAnswerComesPromptly(t *testing.T) {
	s := notes(t)
	quickest := answerTimeout
	for range 3 {
		start := time.Now()
		s.get(t, "/notes?limit=1")
		quickest = min(quickest, time.Since(start))
	}
	assert.Less(t, quickest, promptly, "the quickest of three")
}

func TestANoteCanBeAddedAndReadBack(t *testing.T) {
	s := notes(t)
	want := note{Title: title("read back"), Body: "äöü\n<b>日本</b> \"'&"}
	created, err := s.create(t.Context(), want.Title, want.Body)
	require.NoError(t, err)
	assert.Positive(t, created.ID)
	assert.Equal(t, want.Title, created.Title)
	assert.Equal(t, want.Body, created.Body)
	assert.WithinDuration(t, time.Now(), created.CreatedAt, 5*time.Minute)

	read, err := s.read(t.Context(), created.ID)
	require.NoError(t, err)
	assert.Equal(t, created, read)
}

func TestNotesAreListedNewestFirstUpToTheLimit(t *testing.T) {
	s := notes(t)
	var added []int64
	for range 3 {
		created, err := s.create(t.Context(), title("listing"), "")
		require.NoError(t, err)
		added = append(added, created.ID)
	}

	listed, err := decode[[]note](s.get(t, "/notes?limit=200"))
	require.NoError(t, err)
	assert.LessOrEqual(t, len(listed), 200)
	assert.True(t, slices.IsSortedFunc(listed, func(a, b note) int { return b.CreatedAt.Compare(a.CreatedAt) }), "newest first")
	var found []int64
	for _, n := range listed {
		if slices.Contains(added, n.ID) {
			found = append(found, n.ID)
		}
	}
	slices.Reverse(found)
	assert.Equal(t, added, found)

	two, err := decode[[]note](s.get(t, "/notes?limit=2"))
	require.NoError(t, err)
	assert.Len(t, two, 2)
}

func TestBadInputIsRefused(t *testing.T) {
	s := notes(t)
	for name, bad := range map[string]struct {
		method, path, body string
		code               int
	}{
		"not JSON":         {"POST", "/notes", `title=Milk`, 400},
		"no title":         {"POST", "/notes", `{"body": "two litres"}`, 400},
		"a long title":     {"POST", "/notes", `{"title": "` + strings.Repeat("x", 201) + `"}`, 400},
		"a long body":      {"POST", "/notes", `{"title": "Milk", "body": "` + strings.Repeat("x", 10<<10+1) + `"}`, 400},
		"an unknown field": {"POST", "/notes", `{"title": "Milk", "colour": "white"}`, 400},
		"a wrong limit":    {"GET", "/notes?limit=201", ``, 400},
		"an absent note":   {"GET", "/notes/0", ``, 404},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := s.send(t.Context(), bad.method, bad.path, "application/json", bad.body)
			require.NoError(t, err)
			assert.Equal(t, bad.code, a.StatusCode, "%s", a.body)
			said, err := decode[struct{ Error string }](a)
			require.NoError(t, err)
			assert.NotEmpty(t, said.Error)
		})
	}
}

func TestNotesOfConcurrentWritersCanAllBeRead(t *testing.T) {
	s := notes(t)
	const writers, reads = 20, 5
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			want := title(fmt.Sprintf("writer %d", i))
			created, err := s.create(t.Context(), want, "")
			if !assert.NoError(t, err) {
				return
			}
			// More than once: any of the service's processes may answer.
			for range reads {
				read, err := s.read(t.Context(), created.ID)
				if assert.NoError(t, err) {
					assert.Equal(t, want, read.Title)
				}
			}
		})
	}
	all.Wait()
}

func TestThePageShowsANoteThatItsFormAdded(t *testing.T) {
	s := notes(t)
	added := title("page")
	form := url.Values{"title": {added}, "body": {"<script>alert(1)</script>"}}
	a, err := s.send(t.Context(), http.MethodPost, "/", "application/x-www-form-urlencoded", form.Encode())
	require.NoError(t, err)
	require.Equal(t, http.StatusSeeOther, a.StatusCode, "%s", a.body)

	page := s.get(t, "/?limit=200")
	assert.Contains(t, page.Header.Get("Content-Type"), "text/html")
	assert.Contains(t, string(page.body), added)
	assert.NotContains(t, string(page.body), "<script>")
	assert.Contains(t, string(page.body), "notes "+page.Header.Get("Notes-Version"), "the footer")
}

// Package redact keeps secrets out of everything that cutover prints.
//
// Dagger hides a secret only where it is printed whole; a token out of a
// kubeconfig or a password out of a connection string is printed in clear. So
// the parts are registered here, and every output passes through a Writer.
package redact

import (
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Mark stands where a secret was.
const Mark = "[secret]"

// shortest is the length below which a value is not hidden: replacing "on" or
// "1" everywhere would make the output unreadable and hide nothing.
const shortest = 6

// Secrets is a set of values to hide. The zero value hides nothing. It is safe
// for concurrent use.
type Secrets struct {
	mu       sync.Mutex
	values   []string // the longest first, so that a part never spoils the whole
	replacer *strings.Replacer
}

// Add registers values and the parts of them that give something away: each
// line, and the password of a connection string, also as it stands escaped there.
func (s *Secrets) Add(values ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range values {
		s.add(v)
		for line := range strings.Lines(v) {
			s.add(strings.TrimSpace(line))
		}
		if u, err := url.Parse(v); err == nil && u.User != nil {
			if password, ok := u.User.Password(); ok {
				s.add(password)
				s.add(url.QueryEscape(password))
				s.add(url.PathEscape(password))
				s.add(rawPassword(v))
			}
		}
		for _, m := range keyword.FindAllStringSubmatch(v, -1) {
			s.add(m[1])
			s.add(strings.NewReplacer(`\'`, `'`, `\\`, `\`).Replace(strings.Trim(m[1], "'")))
		}
	}
	slices.SortFunc(s.values, func(a, b string) int { return len(b) - len(a) })
	pairs := make([]string, 0, 2*len(s.values))
	for _, v := range s.values {
		pairs = append(pairs, v, Mark)
	}
	s.replacer = strings.NewReplacer(pairs...)
}

func (s *Secrets) add(v string) {
	if len(v) >= shortest && !slices.Contains(s.values, v) {
		s.values = append(s.values, v)
	}
}

// keyword finds the password in a connection string of keywords and values, as
// libpq's manual describes it (33.1.1.1): with blanks in it, it stands in quotes.
var keyword = regexp.MustCompile(`(?i)\bpassword\s*=\s*('(?:[^'\\]|\\.)*'|\S+)`)

// rawPassword returns the password of a URL that has one, escaped as it stands
// there: there is more than one way to escape.
func rawPassword(v string) string {
	_, v, _ = strings.Cut(v, "//")
	if end := strings.IndexAny(v, "/?#"); end >= 0 {
		v = v[:end]
	}
	_, password, _ := strings.Cut(v[:max(strings.LastIndex(v, "@"), 0)], ":")
	return password
}

// Hide returns text with every registered value replaced by Mark.
func (s *Secrets) Hide(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.replacer == nil {
		return text
	}
	return s.replacer.Replace(text)
}

// Writer returns a writer that hides the secrets in what is written to it. Each
// Write is taken by itself, so a line has to be written whole.
func (s *Secrets) Writer(w io.Writer) io.Writer { return &writer{s, w} }

type writer struct {
	secrets *Secrets
	w       io.Writer
}

func (w *writer) Write(p []byte) (int, error) {
	if _, err := io.WriteString(w.w, w.secrets.Hide(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

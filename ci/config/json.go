package config

import (
	"encoding/json"
	"time"
)

// JSON returns the environment as indented JSON with durations as text ("10m0s"),
// for readers that are not this program.
func (e *Env) JSON() ([]byte, error) {
	text, err := json.MarshalIndent(e, "", "  ")
	return append(text, '\n'), err
}

// duration is a time.Duration that JSON holds as text.
type duration time.Duration

func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = duration(parsed)
	return err
}

// Each struct that holds durations has a view of itself, for both directions, in
// which they are text.

func (m *Migrations) view() any {
	type fields Migrations
	return &struct {
		*fields
		Timeout        *duration `json:"timeout"`
		RollbackWindow *duration `json:"rollbackWindow"`
	}{(*fields)(m), (*duration)(&m.Timeout), (*duration)(&m.RollbackWindow)}
}

func (b *Backup) view() any {
	type fields Backup
	return &struct {
		*fields
		Timeout *duration `json:"timeout"`
	}{(*fields)(b), (*duration)(&b.Timeout)}
}

func (r *Raise) view() any {
	type fields Raise
	return &struct {
		*fields
		Timeout *duration `json:"timeout"`
	}{(*fields)(r), (*duration)(&r.Timeout)}
}

func (v *Verify) view() any {
	type fields Verify
	return &struct {
		*fields
		Timeout *duration `json:"timeout"`
	}{(*fields)(v), (*duration)(&v.Timeout)}
}

func (s *Shutdown) view() any {
	type fields Shutdown
	return &struct {
		*fields
		Sleep *duration `json:"sleep"`
		Grace *duration `json:"grace"`
	}{(*fields)(s), (*duration)(&s.Sleep), (*duration)(&s.Grace)}
}

// MarshalJSON writes durations as text.
func (m Migrations) MarshalJSON() ([]byte, error) { return json.Marshal(m.view()) }

// MarshalJSON writes durations as text.
func (b Backup) MarshalJSON() ([]byte, error) { return json.Marshal(b.view()) }

// MarshalJSON writes durations as text.
func (r Raise) MarshalJSON() ([]byte, error) { return json.Marshal(r.view()) }

// MarshalJSON writes durations as text.
func (v Verify) MarshalJSON() ([]byte, error) { return json.Marshal(v.view()) }

// MarshalJSON writes durations as text.
func (s Shutdown) MarshalJSON() ([]byte, error) { return json.Marshal(s.view()) }

// UnmarshalJSON reads what MarshalJSON wrote.
func (m *Migrations) UnmarshalJSON(text []byte) error { return json.Unmarshal(text, m.view()) }

// UnmarshalJSON reads what MarshalJSON wrote.
func (b *Backup) UnmarshalJSON(text []byte) error { return json.Unmarshal(text, b.view()) }

// UnmarshalJSON reads what MarshalJSON wrote.
func (r *Raise) UnmarshalJSON(text []byte) error { return json.Unmarshal(text, r.view()) }

// UnmarshalJSON reads what MarshalJSON wrote.
func (v *Verify) UnmarshalJSON(text []byte) error { return json.Unmarshal(text, v.view()) }

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *Shutdown) UnmarshalJSON(text []byte) error { return json.Unmarshal(text, s.view()) }

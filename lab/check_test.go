package main

import (
	"cmp"
	"errors"
	"strings"
	"testing"
)

func TestCheckSentences(t *testing.T) {
	good := machine{system: "linux", free: func(string) (uint64, error) { return 100 << 30, nil }}
	tests := map[string]struct {
		change func(*machine)
		want   []string // parts of the one sentence; none means that all is well
	}{
		"good":                 {func(*machine) {}, nil},
		"not Linux":            {func(m *machine) { m.system = "darwin" }, []string{"darwin", "docker run --privileged", "lab/README.md"}},
		"not root":             {func(m *machine) { m.uid = 1000 }, []string{"user 1000", "sudo"}},
		"no go":                {func(m *machine) { m.goTool = errors.New("gone") }, []string{"`go`", "PATH"}},
		"full disk":            {func(m *machine) { m.free = has(5 << 30) }, []string{"5.0 GB free", "15.0 GB", "10.0 GB are missing"}},
		"full disk, all built": {func(m *machine) { m.built, m.free = true, has(5<<30) }, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := good
			test.change(&m)
			wantSentence(t, cmp.Or(m.suits(), m.fits()), test.want)
		})
	}
}

func has(n uint64) func(string) (uint64, error) {
	return func(string) (uint64, error) { return n, nil }
}

func TestPortTakenSentence(t *testing.T) {
	wantSentence(t, portTaken("registry", 5000, 42, "nginx"), []string{"5000", "registry", "nginx (process 42)", "kill 42", "nothing was started", "go run ./lab up"})
	wantSentence(t, portTaken("etcd", 2379, 0, ""), []string{"2379", "etcd", "ss -lntp", "go run ./lab up"})
}

func wantSentence(t *testing.T, err error, parts []string) {
	t.Helper()
	if len(parts) == 0 {
		if err != nil {
			t.Errorf("got %q, want no error", err)
		}
		return
	}
	if err == nil {
		t.Fatal("no error")
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("more than one sentence: %q", err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q lacks %q", err, part)
		}
	}
}

func TestMissingPackages(t *testing.T) {
	var answer strings.Builder
	for _, name := range packages {
		switch name {
		case "runc": // never heard of
		case "socat":
			answer.WriteString("socat config-files\n")
		default:
			answer.WriteString(name + " installed\n")
		}
	}
	if got := strings.Join(missingFrom(answer.String()), " "); got != "runc socat" {
		t.Errorf("missing %q, want runc and socat", got)
	}
}

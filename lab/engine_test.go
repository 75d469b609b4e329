package main

import (
	"os"
	"strings"
	"testing"
)

func TestEngineConfig(t *testing.T) {
	const want = `insecure-entitlements = ["security.insecure"]

[worker.oci]
  defaultCgroupParent = "cutover-lab"

[registry."docker.io"]
  mirrors = ["198.51.100.7:5000"]

[registry."198.51.100.7:5000"]
  http = true

[registry."127.0.0.1:5000"]
  http = true
`
	if got := engineConfig("198.51.100.7"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// The engine is compiled with the paths of lab/dagger/distconsts, a module of
// its own that this one cannot import.
func TestEngineIsCompiledForTheLabsHome(t *testing.T) {
	source, err := os.ReadFile("dagger/distconsts/consts.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`home = "` + home + `"`,
		`= "unix://` + engineSocket + `"`,
		`EngineContainerBuiltinContentDir = home + "` + strings.TrimPrefix(string(contentStore), home) + `"`,
	} {
		if !strings.Contains(string(source), line) {
			t.Errorf("dagger/distconsts/consts.go has no %s", line)
		}
	}
}

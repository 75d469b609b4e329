//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/version"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/tools/clientcmd"
)

// The official engine v0.18.12 builds modules with Go 1.24.
func TestModuleAsksForNoNewerGoThanTheEngineHas(t *testing.T) {
	list := exec.Command("go", "list", "-m", "-json", "all")
	list.Dir = filepath.Join(repositoryRoot(t), ".dagger")
	list.Env = append(os.Environ(), "GOWORK=off")
	out, err := list.Output()
	require.NoError(t, err)
	seen := 0
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; seen++ {
		var module struct{ Path, GoVersion string }
		if err := decoder.Decode(&module); errors.Is(err, io.EOF) {
			break
		} else {
			require.NoError(t, err)
		}
		if module.GoVersion != "" {
			assert.LessOrEqual(t, version.Compare(version.Lang("go"+module.GoVersion), "go1.24"), 0, "%s asks for Go %s", module.Path, module.GoVersion)
		}
	}
	assert.Greater(t, seen, 20, "the list of modules is too short to be true")
}

// unreachable returns the kubeconfig with an address where nobody listens.
func unreachable(t *testing.T, kubeconfig []byte) []byte {
	config, err := clientcmd.Load(kubeconfig)
	require.NoError(t, err)
	for _, cluster := range config.Clusters {
		cluster.Server = "https://127.0.0.1:1"
	}
	out, err := clientcmd.Write(*config)
	require.NoError(t, err)
	return out
}

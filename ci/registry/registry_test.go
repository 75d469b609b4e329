package registry

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"cutover.dev/ci/outcome"
)

var digest = "sha256:" + strings.Repeat("a", 64)

// answering returns the reference of an image in a registry that answers the
// question for it with status.
func answering(t *testing.T, status int) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		if r.URL.Path != "/v2/notes/manifests/"+digest {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Header().Set("Content-Length", "2")
		w.Header().Set("Docker-Content-Digest", digest)
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://") + "/notes@" + digest
}

func TestAnImageThatIsThereIsAccepted(t *testing.T) {
	require.NoError(t, Check(t.Context(), answering(t, http.StatusOK), answering(t, http.StatusOK)))
}

func TestAnImageThatIsNotThereIsRefused(t *testing.T) {
	missing := answering(t, http.StatusNotFound)
	err := Check(t.Context(), answering(t, http.StatusOK), missing)
	require.Equal(t, outcome.Refused, outcome.CodeOf(err))
	require.ErrorContains(t, err, "the image "+missing+" cannot be pulled: its registry does not have it")
}

func TestARegistryThatDemandsALoginIsNoRefusal(t *testing.T) {
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden} {
		require.NoError(t, Check(t.Context(), answering(t, status)))
	}
}

func TestARegistryThatCannotBeReachedIsNoRefusal(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, Check(ctx, answering(t, http.StatusOK)))
	server := httptest.NewServer(nil)
	address := strings.TrimPrefix(server.URL, "http://")
	server.Close()
	require.NoError(t, Check(t.Context(), address+"/notes@"+digest))
}

func TestAnImageThatIsNotNamedByDigestIsRefused(t *testing.T) {
	for _, ref := range []string{"registry.example.com/notes:1.0", "notes", "", "notes@sha256:abc"} {
		err := Check(t.Context(), ref)
		require.Equal(t, outcome.Refused, outcome.CodeOf(err), ref)
		require.ErrorContains(t, err, "is not named by digest", ref)
	}
}

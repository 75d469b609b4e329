// Package registry asks image registries about images.
package registry

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"cutover.dev/ci/outcome"
)

// askTimeout bounds the question for one image.
const askTimeout = 5 * time.Second

// Check refuses references that are not by digest, and images of which their
// registry says that it does not have them. A registry that cannot be asked from
// here, or demands a login, is no refusal: the cluster may well reach it.
func Check(ctx context.Context, refs ...string) error {
	for _, text := range refs {
		// Insecure means that plain HTTP is tried after HTTPS; nothing secret is sent.
		ref, err := name.NewDigest(text, name.Insecure)
		if err != nil {
			return outcome.Refusef("docker buildx imagetools inspect IMAGE   (prints the digest)", "the image %q is not named by digest: %w", text, err)
		}
		if err := check(ctx, ref); err != nil {
			return err
		}
	}
	return nil
}

func check(ctx context.Context, ref name.Digest) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	_, err := remote.Head(ref, remote.WithContext(ctx))
	if answer, ok := errors.AsType[*transport.Error](err); ok && answer.StatusCode == http.StatusNotFound {
		return outcome.Refusef("dagger call publish --env=ENV   (builds and pushes it)", "the image %s cannot be pulled: its registry does not have it", ref)
	}
	return nil
}

package main

import (
	"context"
	"fmt"

	"dagger/cutover/internal/dagger"
)

// published is a release that the cluster can pull.
type published struct {
	identity
	Image, Bundle string
	// bundle is the container that was published as Bundle.
	bundle *dagger.Container
}

// Test, build and push the image and the bundle; print their digests.
//
// +cache="never"
func (m *Cutover) Publish(
	ctx context.Context,
	// Environment: the name of a file in envs/, such as dev.
	//
	// +optional
	env string,
	// What the application answers as its version. Default: from git.
	//
	// +optional
	version string,
	// Build arguments as NAME=value, beside those of envs/NAME.yaml.
	//
	// +optional
	buildArg []string,
) (string, error) {
	p, err := m.publish(ctx, env, version, buildArg, "")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("version %s\nimage   %s\nbundle  %s\n", p.Version, p.Image, p.Bundle), nil
}

// publish pushes the image, unless a ready one is named, and the bundle.
func (m *Cutover) publish(ctx context.Context, env, version string, buildArgs []string, image string) (p published, err error) {
	s, err := m.settings(ctx, env)
	if err != nil {
		return p, err
	}
	if image != "" && version == "" {
		return p, fail(refused, "a ready image needs its version, to be recognised by its answers\n  now:  nothing was changed\n  next: the same command with --version=VERSION")
	}
	if p.identity, err = m.identify(ctx, version); err != nil {
		return p, err
	}
	if p.Image = image; image == "" {
		if _, err := m.test(ctx, s); err != nil {
			return p, err
		}
		built, err := m.image(s, p.identity, buildArgs)
		if err != nil {
			return p, err
		}
		if p.Image, err = push(ctx, built, s.Image.Repository+":"+tag(p.Version)); err != nil {
			return p, err
		}
	}
	err = m.pushBundle(ctx, s, &p)
	return p, err
}

// publishBundle pushes the bundle alone, for whoever only looks.
func (m *Cutover) publishBundle(ctx context.Context, env string) (p published, err error) {
	s, err := m.settings(ctx, env)
	if err != nil {
		return p, err
	}
	if p.identity, err = m.identify(ctx, ""); err != nil {
		return p, err
	}
	err = m.pushBundle(ctx, s, &p)
	return p, err
}

func (m *Cutover) pushBundle(ctx context.Context, s settings, p *published) (err error) {
	p.bundle = m.bundle(s, p.identity)
	p.Bundle, err = push(ctx, p.bundle, s.Image.Repository+":"+tag(p.Version)+"-bundle")
	return err
}

// bundle returns the container that acts for a release, here and in the cluster:
// the program, the release's migrations and its smoke tests. It stays with the release.
func (m *Cutover) bundle(s settings, id identity) *dagger.Container {
	bundle := m.runner()
	if s.Migrations != nil {
		bundle = bundle.WithDirectory("/migrations", m.Source.Directory(s.Migrations.Dir))
	}
	if s.Smoke != nil && s.Smoke.Package != "" {
		bundle = bundle.WithDirectory("/smoke", m.smokeTests(s.Smoke.Package))
	}
	return id.label(bundle)
}

// push returns the pushed image's reference by digest alone: a tag can move.
func push(ctx context.Context, image *dagger.Container, address string) (string, error) {
	if _, err := image.Sync(ctx); err != nil {
		return "", fail(refused, fmt.Sprintf("the image %s could not be built: %v\n  now:  nothing was changed\n  next: dagger call build --env=ENV", address, err))
	}
	ref, err := image.Publish(ctx, address)
	if err != nil {
		return "", fail(failed, fmt.Sprintf("the image %s could not be pushed: %v\n  now:  nothing was changed\n  next: check the registry, then the same command again", address, err))
	}
	return byDigest(ref), nil
}

package main

import (
	"context"
	"fmt"
	"strings"

	"dagger/cutover/internal/dagger"
)

// identity is which source a release was built from.
type identity struct {
	Version string
	// Commit and Committed are empty when the source is not exactly a commit of a
	// git repository.
	Commit, Committed string
	// ancestry is the part of git's history that is there, nil without one.
	ancestry *dagger.File
}

// identify asks git, unless the caller named a version, which then only takes
// the commit from git. Uncommitted changes make another version, named after
// their content.
func (m *Cutover) identify(ctx context.Context, version string) (identity, error) {
	id := identity{Version: version}
	content, err := m.code().Digest(ctx)
	if err != nil {
		return id, err
	}
	_, content, _ = strings.Cut(content, ":")
	content = content[:min(12, len(content))]

	commit, committed, clean, ancestry, err := m.git(ctx)
	if err != nil {
		return id, err
	}
	if commit != "" && clean {
		id.Commit, id.Committed, id.ancestry = commit, committed, ancestry
	}
	switch {
	case version != "":
	case commit == "":
		id.Version = content
	case clean:
		id.Version = commit[:12]
	default:
		id.Version = fmt.Sprintf("%s-dirty-%s", commit[:12], content)
	}
	return id, nil
}

// remembered is how many commits are looked at to tell which of two is older; of
// those beyond, their committer times tell.
const remembered = 20000

// git returns the commit that is checked out, its committer time, whether the
// files are exactly those of the commit, and the history as `git rev-list
// --parents` writes it. Without a repository all are empty.
func (m *Cutover) git(ctx context.Context) (commit, committed string, clean bool, ancestry *dagger.File, err error) {
	dirs, err := m.Source.Glob(ctx, ".git/HEAD")
	if err != nil || len(dirs) == 0 {
		return "", "", false, nil, err
	}
	script := fmt.Sprintf(`git config --global --add safe.directory /src
{
	[ "$(git rev-parse --is-shallow-repository)" = false ] || echo shallow
	git rev-list --parents --max-count=%d --all HEAD
} > /ancestry
git log -1 --format=%%H%%n%%cI && git status --porcelain`, remembered)
	ctr := dag.Container().From(goImage).
		WithMountedDirectory("/src", m.Source).
		WithWorkdir("/src").
		WithExec([]string{"sh", "-c", script}, dagger.ContainerWithExecOpts{Expect: dagger.ReturnTypeAny})
	out, err := ctr.Stdout(ctx)
	if err != nil {
		return "", "", false, nil, err
	}
	lines := strings.SplitN(out, "\n", 3)
	if len(lines) < 3 || len(lines[0]) < 40 {
		return "", "", false, nil, nil // a repository without a commit
	}
	return lines[0], lines[1], strings.TrimSpace(lines[2]) == "", ctr.File("/ancestry"), nil
}

// label writes the identity into an image, so that it can be read back wherever
// the image is.
func (id identity) label(image *dagger.Container) *dagger.Container {
	image = image.WithLabel("org.opencontainers.image.version", id.Version)
	if id.Commit == "" {
		return image
	}
	return image.WithLabel("org.opencontainers.image.revision", id.Commit).
		WithLabel("org.opencontainers.image.created", id.Committed)
}

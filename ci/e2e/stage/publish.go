package stage

import (
	"context"
	"fmt"
	"strings"
)

// Version is a version of the example application that was built and pushed.
type Version struct {
	// Name is what it answers as its version.
	Name string
	// Image and Bundle are references by digest.
	Image, Bundle string
}

// Publish builds and pushes a version, once for any number of deploys. Build
// arguments are NAME=value.
func (s *Stage) Publish(ctx context.Context, name string, buildArgs ...string) (Version, error) {
	args := []string{"publish", "--env=dev", "--version=" + name}
	for _, a := range buildArgs {
		args = append(args, "--build-arg="+a)
	}
	call, err := s.Dagger(ctx, nil, args...)
	if err != nil {
		return Version{}, err
	}
	if call.Code != 0 {
		return Version{}, fmt.Errorf("version %s cannot be published: exit code %d: %s", name, call.Code, call.Error())
	}
	said := map[string]string{}
	for line := range strings.Lines(call.Stdout) {
		if words := strings.Fields(line); len(words) == 2 {
			said[words[0]] = words[1]
		}
	}
	v := Version{Name: said["version"], Image: said["image"], Bundle: said["bundle"]}
	if v.Name != name || v.Image == "" || v.Bundle == "" {
		return Version{}, fmt.Errorf("publish of version %s said only: %s", name, call.Stdout)
	}
	return v, nil
}

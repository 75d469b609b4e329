package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"cutover.dev/ci/outcome"
)

// dir is where the environments' files are, from the repository's root.
const dir = "envs"

// Load reads envs/NAME.yaml from root, the repository's root. What is wrong with
// the name or the file comes back as a refusal; all that is wrong with the file
// at once, as Problems inside it.
func Load(root fs.FS, name string) (*Env, error) {
	if !label.MatchString(name) {
		return nil, unknown(root, name, "%q cannot be the name of an environment", name)
	}
	file := path.Join(dir, name+".yaml")
	text, err := fs.ReadFile(root, file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, unknown(root, name, "there is no environment %q (%s)", name, file)
	case err != nil:
		return nil, outcome.Failf(checkCommand(name), "cannot read %s: %w", file, err)
	}
	env, problems := parse(file, text)
	if len(problems) > 0 {
		return nil, outcome.Refusef(checkCommand(name), "%w", problems)
	}
	env.Name = name
	return env, nil
}

// Names returns the names of the environments in root, the repository's root, in
// alphabetical order.
func Names(root fs.FS) ([]string, error) {
	files, err := fs.Glob(root, dir+"/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("cannot list %s: %w", dir, err)
	}
	var names []string
	for _, file := range files {
		if name := strings.TrimSuffix(path.Base(file), ".yaml"); label.MatchString(name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// unknown returns the refusal of a name, which says what names there are.
func unknown(root fs.FS, name, format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	names, err := Names(root)
	if err != nil || len(names) == 0 {
		return outcome.Refusef("write envs/NAME.yaml; README.md shows a whole one", "%s; there are none in %s", what, dir)
	}
	likely := nearest(name, names)
	if likely == "" {
		likely = names[0]
	}
	return outcome.Refusef(checkCommand(likely), "%s; there are: %s", what, strings.Join(names, ", "))
}

func checkCommand(name string) string { return "dagger call check --env=" + name }

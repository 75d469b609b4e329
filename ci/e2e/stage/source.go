package stage

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// settings is the stage's configuration, in a repository.
const settings = "envs/dev.yaml"

// Copy makes an application repository below dir the stage's own: the example,
// without git, set to the stage's namespace.
func (s *Stage) Copy(dir string) error {
	source := filepath.Join(dir, "app")
	for _, part := range []string{"envs", "example", "smoke"} {
		if err := os.CopyFS(filepath.Join(source, part), os.DirFS(filepath.Join(s.Root, part))); err != nil {
			return err
		}
	}
	for _, file := range []string{"go.mod", "go.sum"} { // of the smoke tests
		data, err := os.ReadFile(filepath.Join(s.Root, file))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(source, file), data, 0o644); err != nil {
			return err
		}
	}
	s.Source = source
	return s.Edit(Edit{"namespace: notes-dev", "namespace: " + s.Namespace})
}

// Edit is a text in envs/dev.yaml and what to put in its place.
type Edit struct{ From, To string }

// Edit changes envs/dev.yaml of the stage's own repository.
func (s *Stage) Edit(edits ...Edit) error {
	return s.edit(filepath.Join(s.Source, settings), edits)
}

// Drop takes a key and what belongs to it out of envs/dev.yaml.
func (s *Stage) Drop(key string) error {
	path := filepath.Join(s.Source, settings)
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	block := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(key) + `:.*\n( .*\n)*`)
	if !block.Match(text) {
		return fmt.Errorf("%s has no %q to drop", settings, key)
	}
	return os.WriteFile(path, block.ReplaceAll(text, nil), 0o644)
}

// Variant writes another envs/dev.yaml beside the stage's repository and returns
// the flag with which cutover's own program takes it.
func (s *Stage) Variant(name string, edits ...Edit) (flag string, err error) {
	dir := filepath.Join(filepath.Dir(s.Source), name)
	path := filepath.Join(dir, settings)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	return "--dir=" + dir, s.edit(path, edits)
}

// edit writes the configuration of the stage's repository to path, edited.
func (s *Stage) edit(path string, edits []Edit) error {
	data, err := os.ReadFile(filepath.Join(s.Source, settings))
	if err != nil {
		return err
	}
	text := string(data)
	for _, e := range edits {
		if !strings.Contains(text, e.From) {
			return fmt.Errorf("%s has no %q to edit", settings, e.From)
		}
		text = strings.Replace(text, e.From, e.To, 1)
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

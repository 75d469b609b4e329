package config

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzLoad promises that no file makes Load panic, that every problem has its
// place, and that what is right is written and read as the same.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{"", least, full, "app: &a [*a]", "- a", "? a\n: b", "a: |\n b\n", "{", "<<: {}",
		"env: {A: \"\\u2028\\0\", B: 'é: #', C: >-\n  x\n\n  y\n}"} {
		f.Add(seed)
	}
	for _, name := range []string{"dev", "staging", "prod"} {
		text, err := os.ReadFile("../../envs/" + name + ".yaml")
		require.NoError(f, err)
		f.Add(string(text))
	}
	place := regexp.MustCompile(`^envs/dev\.yaml:[1-9][0-9]*:[1-9][0-9]*: \S`)
	f.Fuzz(func(t *testing.T, file string) {
		env, err := Load(repository(file), "dev")
		if err == nil {
			require.Equal(t, env, load(t, string(env.YAML())))
			return
		}
		problems, ok := errors.AsType[Problems](err)
		require.True(t, ok && len(problems) > 0, "%v", err)
		for _, problem := range problems {
			require.Regexp(t, place, problem.String())
			require.Len(t, strings.Split(problem.String(), "\n"), 3)
		}
	})
}

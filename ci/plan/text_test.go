package plan

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// text returns the plan's text with its hash, which no person can foresee, left out.
func text(p Plan) string { return strings.Replace(p.Text(), p.Hash, "HASH", 1) }

func TestTextOfAFirstRelease(t *testing.T) {
	require.Equal(t, `plan HASH: notes to prod (namespace notes-prod)
  serves now  nothing
  would raise new, version 1.0.0, on blue, commit 0123456789ab, 3 pods
  image       `+image("a")+`
  bundle      `+image("b")+`
  changes     first release: nothing serves yet
`, text(Make(offer(), empty())))
}

func TestTextOfAnUpdate(t *testing.T) {
	require.Equal(t, `plan HASH: notes to prod (namespace notes-prod)
  serves now  r1, version 1.0.0, on blue, commit 0123456789ab
  would raise new, version 1.1.0, on green, commit fedcba987654, 3 pods
  image       `+image("c")+`
  bundle      `+image("b")+`
  changes     version: 1.0.0 -> 1.1.0
              image: aaaaaaaaaaaa -> cccccccccccc
`, text(Make(next(), after(offer()))))
}

func TestTextOfNothingToDo(t *testing.T) {
	require.Equal(t, `plan HASH: notes to prod (namespace notes-prod)
  serves now  r1, version 1.0.0, on blue, commit 0123456789ab
  would do    nothing: this release already serves
`, text(Make(offer(), after(offer()))))
}

func TestTextOfFindings(t *testing.T) {
	in := offer()
	in.Secrets = map[string]string{"ZED": "hunter2-hunter2"}
	in.Commit = ""
	require.Equal(t, `plan HASH: notes to prod (namespace notes-prod)
  serves now  nothing
  would raise new, version 1.0.0, on blue, 3 pods
  image       `+image("a")+`
  bundle      `+image("b")+`
  changes     first release: nothing serves yet
  refused     secrets required by envs/prod.yaml but not given: DATABASE_URL
              next: add NAME=value lines to the file that --secrets names
              secrets given but not required by envs/prod.yaml: ZED
              next: list them under secrets.required, or leave them out of --secrets
`, text(Make(in, empty())))
}

package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"cutover.dev/ci/outcome"
)

func dotenv(t *testing.T, text string) (map[string]string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secrets.env")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return Dotenv(path)
}

func TestDotenvReadsLines(t *testing.T) {
	values, err := dotenv(t, "\ufeff# a comment\n\nPLAIN=value\n  SPACED =  a b  \nexport EXPORTED=x\n"+
		`DOUBLE="a # b"`+"\n"+`SINGLE='$HOME'`+"\n"+`EMPTY=`+"\n"+`EQUALS=postgres://u:p@h/d?sslmode=disable&x=y`+"\n"+
		`ONE="`+"\n"+`MIXED="a'`+"\n"+`INNER=a"b"`+"\r\n  # indented\nLAST=1")
	require.NoError(t, err)
	require.Equal(t, map[string]string{
		"PLAIN": "value", "SPACED": "a b", "EXPORTED": "x", "DOUBLE": "a # b", "SINGLE": "$HOME", "EMPTY": "",
		"EQUALS": "postgres://u:p@h/d?sslmode=disable&x=y", "ONE": `"`, "MIXED": `"a'`, "INNER": `a"b"`, "LAST": "1",
	}, values)
}

func TestDotenvErrorsNameTheLineAndNeverAValue(t *testing.T) {
	for text, want := range map[string]string{
		"A=1\n\nhunter2-hunter2\n":       "secrets:3:1: want NAME=value",
		"# c\nhunter2 hunter2=hunter2":   "secrets:2:1: want NAME=value",
		"=hunter2-hunter2":               "secrets:1:1: want NAME=value",
		"1A=hunter2-hunter2":             "secrets:1:1: want NAME=value",
		"A=hunter2-hunter2\nA=hunter2\n": "secrets:2:1: A is there twice",
	} {
		_, err := dotenv(t, text)
		require.EqualError(t, err, want)
		require.Equal(t, outcome.Refused, outcome.CodeOf(err))
		require.NotContains(t, outcome.Explain(err), "hunter2")
	}
}

func TestDotenvWithoutAFileIsEmpty(t *testing.T) {
	values, err := Dotenv("")
	require.NoError(t, err)
	require.Empty(t, values)
}

func TestDotenvOfAMissingFileIsRefused(t *testing.T) {
	_, err := Dotenv(filepath.Join(t.TempDir(), "nope.env"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.Equal(t, outcome.Refused, outcome.CodeOf(err))
}

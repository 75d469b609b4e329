package redact

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func hide(text string, values ...string) string {
	s := new(Secrets)
	s.Add(values...)
	return s.Hide(text)
}

func TestNothingIsHiddenBeforeAnythingIsAdded(t *testing.T) {
	require.Equal(t, "text", new(Secrets).Hide("text"))
}

func TestATokenIsHiddenWhereverItStands(t *testing.T) {
	require.Equal(t, "token: [secret]\nBearer [secret],", hide("token: abcdef123\nBearer abcdef123,", "abcdef123"))
}

func TestEveryLineOfASecretIsHidden(t *testing.T) {
	key := "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA\n  c2Vjb25kIGxpbmU=\n-----END KEY-----\n"
	require.Equal(t, "key:\n[secret]", hide("key:\n"+key, key))
	require.Equal(t, "    [secret]\n    [secret]\n", hide("    MIIEpAIBAAKCAQEA\n    c2Vjb25kIGxpbmU=\n", key), "indented, as in a kubeconfig")
}

func TestThePasswordOfAConnectionStringIsHidden(t *testing.T) {
	for dsn, forms := range map[string][]string{
		"postgres://notes:correct-horse@db/notes": {"correct-horse", "postgres://notes:correct-horse@db/notes"},
		"postgres://notes:p%40ss%2Fword@db/notes": {"p@ss/word", "p%40ss%2Fword"},
		"postgres://notes:p%40ss!word@db/notes":   {"p@ss!word", "p%40ss!word", "p%40ss%21word"},
		"postgres://notes:p%40ss%2fword@db/notes": {"p@ss/word", "p%40ss%2fword", "p%40ss%2Fword"},
		"postgres://notes:two%20words@db/notes":   {"two words", "two%20words", "two+words"},
	} {
		for _, form := range forms {
			require.Equal(t, "failed: [secret].", hide("failed: "+form+".", dsn), "%s in %s", form, dsn)
		}
		require.Equal(t, "host=db user=notes", hide("host=db user=notes", dsn), "what is no secret stays")
	}
}

func TestThePasswordOfAConnectionStringOfKeywordsIsHidden(t *testing.T) {
	for dsn, forms := range map[string][]string{
		"host=db user=notes password=correct-horse dbname=notes": {"correct-horse"},
		"password = correct-horse host=db":                       {"correct-horse"},
		`host=db PASSWORD='two words' dbname=x`:                  {"two words", "'two words'"},
		`host=db password='it\'s a \\ secret'`:                   {`it's a \ secret`, `'it\'s a \\ secret'`},
	} {
		for _, form := range forms {
			require.Equal(t, "failed: [secret].", hide("failed: "+form+".", dsn), "%s in %s", form, dsn)
		}
		require.Equal(t, "user=notes dbname=notes", hide("user=notes dbname=notes", dsn), "what is no secret stays")
	}
}

func TestShortValuesAreNotHidden(t *testing.T) {
	require.Equal(t, "on 12345", hide("on 12345", "on", "12345", ""))
	require.Equal(t, "[secret]", hide("123456", "123456"))
}

func TestALongerSecretIsHiddenWholeThoughAPartOfItIsOneToo(t *testing.T) {
	for _, values := range [][]string{{"secret-part", "secret-part-and-more"}, {"secret-part-and-more", "secret-part"}} {
		require.Equal(t, "<[secret]>", hide("<secret-part-and-more>", values...))
	}
}

func TestValuesAddUp(t *testing.T) {
	s := new(Secrets)
	s.Add("first-one")
	s.Add("second-one")
	require.Equal(t, "[secret] [secret]", s.Hide("first-one second-one"))
}

func TestAWriterHidesAndReportsWhatItWasGiven(t *testing.T) {
	s := new(Secrets)
	s.Add("abcdef123")
	var b bytes.Buffer
	n, err := fmt.Fprintln(s.Writer(&b), "token abcdef123")
	require.NoError(t, err)
	require.Equal(t, len("token abcdef123\n"), n)
	require.Equal(t, "token [secret]\n", b.String())
}

func TestSecretsMayBeAddedWhileOthersAreHidden(t *testing.T) {
	s := new(Secrets)
	s.Add("abcdef123")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 50 {
				s.Add(fmt.Sprintf("another-secret-%d", i))
				if text := s.Hide("abcdef123"); strings.Contains(text, "abcdef") {
					t.Error(text)
				}
			}
		})
	}
	wg.Wait()
}

package report

import (
	"testing"

	"github.com/stretchr/testify/require"

	"cutover.dev/ci/migrate"
)

func TestMigrationsAreReadLineByLine(t *testing.T) {
	require.Equal(t, `schema is at 4
  applied   1_a.sql
  applied   4_d.sql
  pending   5_e.sql
  deferred  3_c.sql
  drifted   the schema was changed by hand:
            new: column x
            next: one
                  two
  note      a
          b
`, migrationsText(&migrate.State{Version: 4, Applied: []string{"1_a.sql", "4_d.sql"}, Pending: []string{"5_e.sql"}, Deferred: []string{"3_c.sql"},
		Problems: []migrate.Problem{{What: "the schema was changed by hand:\n  new: column x", Next: "one\ntwo"}}, Notes: []string{"a\nb"}}))
	require.Equal(t, "schema is at 0\n", migrationsText(&migrate.State{}))
	_, err := Migrations(&migrate.State{}, "junit")
	require.ErrorContains(t, err, `there is no format "junit" for migrations`)
}

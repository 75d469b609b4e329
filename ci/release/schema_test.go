package release

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAReleaseLivesOnWhatWasAddedAndNotOnWhatWasTakenAway(t *testing.T) {
	r := Release{ID: "r2", Schema: 4, Contracts: []int64{3}}
	require.NoError(t, r.Lives(4, nil))
	require.NoError(t, r.Lives(9, nil), "later migrations only added")
	require.NoError(t, r.Lives(9, []int64{3}), "it knows of that one")
	require.EqualError(t, r.Lives(3, nil), "release r2 needs schema 4, but the database is at 3")
	require.EqualError(t, r.Lives(9, []int64{3, 7}), "the contract migration 7 took from the database what release r2 uses: it lived on schema 4 to below 7")
	require.NoError(t, Release{ID: "r1"}.Lives(0, nil), "a release without a database")
}

package release

import (
	"fmt"
	"slices"
)

// Lives reports whether the release can live on a database of the given version
// whose contract migrations have run, and if not why. It needs what its own
// migrations made, bears what later ones added, and bears of what was taken away
// only what its own bundle knows of.
func (r Release) Lives(schema int64, contracted []int64) error {
	if r.Schema > schema {
		return fmt.Errorf("release %s needs schema %d, but the database is at %d", r.ID, r.Schema, schema)
	}
	for _, v := range contracted {
		if !slices.Contains(r.Contracts, v) {
			return fmt.Errorf("the contract migration %d took from the database what release %s uses: it lived on schema %d to below %d", v, r.ID, r.Schema, v)
		}
	}
	return nil
}

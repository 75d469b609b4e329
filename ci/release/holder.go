package release

import (
	"crypto/rand"
	"fmt"
	"strings"
)

// Holder returns the identity under which a process holds an application's
// Lease: who it is for, for which run, and what tells it from another process of
// the same run.
func Holder(by, run string) string {
	return fmt.Sprintf("%s run %s process %s", by, run, rand.Text()[:6])
}

// HolderRun returns the run of an identity that Holder made, empty for another.
func HolderRun(holder string) string {
	fields := strings.Fields(holder)
	n := len(fields) - 4 // who it is for may hold anything
	if n < 0 || fields[n] != "run" || fields[n+2] != "process" {
		return ""
	}
	return fields[n+1]
}

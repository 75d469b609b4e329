// Package smoke checks a running notes from outside, as its users see it. It
// has tests only:
//
//	BASE_URL=http://localhost:8080 go test ./smoke
//
// With EXPECT_VERSION=1.2.3 it also checks that this version answers. Without
// BASE_URL there is nothing to check, and the tests are skipped.
//
// The tests may run beside real traffic: they add a few notes of their own, and
// look only at those.
package smoke

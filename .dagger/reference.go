package main

import "strings"

// byDigest drops the tag of a reference that has a digest: REPO:TAG@sha256:…
// becomes REPO@sha256:…
func byDigest(ref string) string {
	name, digest, found := strings.Cut(ref, "@")
	if !found {
		return ref
	}
	if colon := strings.LastIndex(name, ":"); colon > strings.LastIndex(name, "/") {
		name = name[:colon]
	}
	return name + "@" + digest
}

// tag makes a valid image tag of a version.
func tag(version string) string {
	valid := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '.', r == '-':
			return r
		default:
			return '-'
		}
	}, version)
	valid = strings.TrimLeft(valid, ".-")
	return valid[:min(100, len(valid))]
}

// Package plan decides, before anything is touched, what a deploy would do:
// from the environment's configuration, the release that is offered and what
// the cluster says. It is pure: it reads and writes nothing.
package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"cutover.dev/ci/config"
	"cutover.dev/ci/migrate"
	"cutover.dev/ci/release"
)

// Input is what the caller wants deployed.
type Input struct {
	Env         config.Env
	Version     string
	Image       string
	Bundle      string
	Commit      string
	CommittedAt *time.Time
	// Migrations are the bundle's migration files.
	Migrations []migrate.File
	// Secrets are the values that the pods get. They never leave this struct but
	// for the release's Secret.
	Secrets map[string]string
	// Restore is the release to bring back, as its record has it; nil for a new
	// one. With its ID empty it gets a new one, and then a Secret of its own.
	Restore *release.Release
	// Ancestry is what the caller's git knows.
	Ancestry Ancestry
	// AllowOlder, Adopt, LiveIsBroken and AcceptDrift are the caller's reasons, if any,
	// to deploy an older commit over a newer one, to take over a Service whose selector
	// somebody else wrote, to deploy though what serves is not well, and to go on with
	// a schema that was changed by hand.
	AllowOlder, Adopt, LiveIsBroken, AcceptDrift string
}

// Kind returns what is asked for.
func (in Input) Kind() release.Kind {
	if in.Restore != nil {
		return release.Rollback
	}
	return release.Deploy
}

// Reasons returns the reasons that were given, by the flag's name.
func (in Input) Reasons() map[string]string {
	reasons := map[string]string{"allow-older": in.AllowOlder, "adopt": in.Adopt, release.LiveIsBroken: in.LiveIsBroken, "accept-drift": in.AcceptDrift}
	maps.DeleteFunc(reasons, func(_, why string) bool { return why == "" })
	return reasons
}

// Observed is what the cluster says before a deploy.
type Observed struct {
	// NamespaceExists is false when there is no such namespace.
	NamespaceExists bool
	// Record is the last run's, nil if there never was one.
	Record *release.Record
	// Service is the live Service's selector, nil when there is no such Service.
	Service map[string]string
	// ServiceWriters are the field managers that own the colour in its selector.
	ServiceWriters []string
	// Ready and Size are the ready and the wanted pods of each colour.
	Ready, Size map[release.Colour]int
	// Image is the image of each colour's Deployment, empty without one.
	Image map[release.Colour]string
	// Releases are the releases of the Deployments, by colour.
	Releases map[release.Colour]string
	// LiveSecrets are the values of the live release's Secret.
	LiveSecrets map[string]string
	Inspected
	Checked
}

// Inspected is what only someone asks who is about to act.
type Inspected struct {
	// Denied are those of Rights that the account lacks.
	Denied []Right
	// Quotas and LimitRanges are the namespace's.
	Quotas      []corev1.ResourceQuota
	LimitRanges []corev1.LimitRange
	// Nodes are those that take pods without tolerations. Nil: they could not be read,
	// or are too many to look at.
	Nodes []Node
}

// Refused reports whether a right is missing without which nothing can be done.
func (i Inspected) Refused() bool {
	return slices.ContainsFunc(i.Denied, func(r Right) bool { return !r.advisory() })
}

// Node is a node of the cluster.
type Node struct {
	Name string
	// Free is what its pods have not reserved, the number of pods included.
	Free corev1.ResourceList
}

// LiveColour returns the colour that the live Service selects, None when there
// is no Service or it is not cutover's.
func (o Observed) LiveColour() release.Colour {
	c := release.Colour(o.Service[release.LabelColour])
	if len(o.Service) != 2 || o.Service[release.LabelServes] == "" || c != release.Blue && c != release.Green {
		return release.None
	}
	return c
}

// Unfinished reports whether the last run left something to do: it was killed, or
// halted, or its last step failed.
func (o Observed) Unfinished() bool { return o.Record != nil && !o.Record.Finished() }

// Live returns the release that serves according to the record, nil if none.
func (o Observed) Live() *release.Release {
	if o.Record == nil {
		return nil
	}
	return o.Record.ServingRelease()
}

// Action is what a deploy would do.
type Action string

// What a deploy would do.
const (
	// Nothing: the release already serves.
	Nothing Action = "nothing"
	// Deploy: raise the release on the idle colour and switch to it.
	Deploy Action = "deploy"
)

// Finding is something that speaks against going on.
type Finding struct {
	// What is wrong, one sentence.
	What string `json:"what"`
	// Next is what to type.
	Next string `json:"next"`
}

// Plan is what a deploy would do.
type Plan struct {
	Namespace string          `json:"namespace"`
	Kind      release.Kind    `json:"kind"`
	Action    Action          `json:"action"`
	Release   release.Release `json:"release"`
	Colour    release.Colour  `json:"colour"`
	Replicas  int             `json:"replicas"`
	// Migrations is how the database stands to the release's migrations, nil if it
	// was not looked at.
	Migrations *migrate.State `json:"migrations,omitempty"`
	// Schema is the database's version, Contracted are the versions of the contract
	// migrations that it has, both as far as known.
	Schema     int64   `json:"schema,omitempty"`
	Contracted []int64 `json:"contracted,omitempty"`
	// Previous is what serves now, nil on a first release.
	Previous       *release.Release `json:"previous,omitempty"`
	PreviousColour release.Colour   `json:"previous_colour,omitempty"`
	// Changes are the differences to what serves, one line each.
	Changes []string `json:"changes,omitempty"`
	// Notes say what else a person should know.
	Notes []string `json:"notes,omitempty"`
	// Findings speak against going on; with any, a deploy refuses.
	Findings []Finding `json:"findings,omitempty"`
	// Hash stands for everything above that a person would approve.
	Hash string `json:"hash"`
}

// Make returns the plan for deploying what in asks for, given what is observed.
func Make(in Input, seen Observed) Plan {
	p := Plan{
		Namespace:      in.Env.Namespace,
		Kind:           in.Kind(),
		Action:         Deploy,
		Release:        candidate(in),
		Previous:       seen.Live(),
		PreviousColour: seen.LiveColour(),
	}
	p.Colour = p.PreviousColour.Other()
	p.Replicas = replicas(in.Env, p.Previous, seen.Size[p.PreviousColour])
	p.Findings = findings(in, seen, p.Replicas)
	p.Migrations = seen.Database
	p.Schema, p.Contracted = schema(seen)
	p.Changes = changes(in, seen, p.Release)
	if p.Previous != nil && len(p.Changes) == 0 && serves(seen, p) {
		p.Action = Nothing
		p.Colour = p.PreviousColour
	} else {
		p.Notes = notes(in, seen, p.Replicas)
	}
	p.Hash = hash(p, in)
	return p
}

// schema returns the database's version and the contract migrations that it has, as
// it tells, else as the last run knew.
func schema(seen Observed) (version int64, contracted []int64) {
	switch {
	case seen.Database != nil:
		return seen.Database.Version, seen.Database.Contracted
	case seen.Record != nil:
		return seen.Record.Schema, seen.Record.Contracted
	default:
		return 0, nil
	}
}

// replicas returns the size of the new colour. It takes over all of the traffic,
// so when the live one was scaled beyond what its release declared, by whomever,
// that size is needed and kept. Where it was not, the declared size is the team's
// decision, also when it is smaller than before.
func replicas(env config.Env, live *release.Release, size int) int {
	switch {
	case live == nil:
		return env.Replicas
	case env.Autoscale != nil:
		return max(env.Autoscale.Min, size)
	case size > live.Env.Replicas || live.Env.Autoscale != nil:
		return max(env.Replicas, size)
	default:
		return env.Replicas
	}
}

// serves reports whether the live colour really runs the release that the
// record calls live, with all of its pods ready.
func serves(seen Observed, p Plan) bool {
	c := p.PreviousColour
	return seen.Record.Serving == c && seen.Image[c] == p.Previous.Image &&
		seen.Size[c] > 0 && seen.Ready[c] >= seen.Size[c]
}

func candidate(in Input) release.Release {
	if in.Restore != nil {
		return *in.Restore
	}
	r := release.Release{
		Version:     in.Version,
		Image:       in.Image,
		Bundle:      in.Bundle,
		Commit:      in.Commit,
		CommittedAt: in.CommittedAt,
		Env:         in.Env,
		Migrations:  migrationsHash(in.Migrations),
		Contracts:   migrate.Contracts(in.Migrations),
	}
	r.Fingerprint = fingerprint(r)
	return r
}

// fingerprint hashes what the cluster would run, without the release's ID.
func fingerprint(r release.Release) string {
	r.ID = "id"
	return digest(Deployment(r, release.Blue), Autoscaler(r, release.Blue, 0), Config(r), LiveService(r, release.Blue), r.Version, r.Migrations)
}

// migrationsHash covers what would run, not how it is commented.
func migrationsHash(files []migrate.File) string {
	if len(files) == 0 {
		return ""
	}
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintln(h, f.Name, f.Phase, f.Hash)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// changes lists how the candidate differs from what serves.
func changes(in Input, seen Observed, next release.Release) []string {
	live := seen.Live()
	if live == nil {
		return []string{"first release: nothing serves yet"}
	}
	var out []string
	add := func(what, from, to string) {
		if from != to {
			out = append(out, fmt.Sprintf("%s: %s -> %s", what, from, to))
		}
	}
	add("version", live.Version, next.Version)
	add("image", shortDigest(live.Image), shortDigest(next.Image))
	add("replicas", fmt.Sprint(live.Env.Replicas), fmt.Sprint(next.Env.Replicas))
	add("migrations", short(live.Migrations), short(next.Migrations))
	if digest(live.Env.Env) != digest(next.Env.Env) {
		out = append(out, "configuration: "+differing(live.Env.Env, next.Env.Env))
	}
	if !maps.Equal(seen.LiveSecrets, in.Secrets) {
		out = append(out, "secrets: "+differing(seen.LiveSecrets, in.Secrets))
	}
	if len(out) == 0 && live.Fingerprint != next.Fingerprint {
		out = append(out, "settings: the pods' or the Service's description differs")
	}
	return out
}

// differing names the keys whose values differ, never the values.
func differing(a, b map[string]string) string {
	keys := map[string]bool{}
	for k, v := range a {
		if w, ok := b[k]; !ok || w != v {
			keys[k] = true
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			keys[k] = true
		}
	}
	return fmt.Sprint(slices.Sorted(maps.Keys(keys)))
}

// hash covers what a person approves: what would run, where, and instead of
// what. Times, run IDs and observed sizes are not in it.
func hash(p Plan, in Input) string {
	var previous string
	if p.Previous != nil {
		previous = p.Previous.ID + p.Previous.Fingerprint
	}
	var pending []string
	if p.Migrations != nil {
		pending = p.Migrations.Pending
	}
	return digest(p.Namespace, in.Env.Name, p.Kind, p.Action, p.Release.Fingerprint, p.Release.Bundle, p.Colour, previous, pending)[:12]
}

// digest returns a hash over the JSON of the values.
func digest(values ...any) string {
	h := sha256.New()
	enc := json.NewEncoder(h)
	for _, v := range values {
		if err := enc.Encode(v); err != nil {
			panic(fmt.Sprintf("plan: %T cannot be encoded: %v", v, err)) // only plain data comes here
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

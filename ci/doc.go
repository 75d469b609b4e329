// Package ci is the root of everything that cutover decides. It holds no code;
// its packages do. This is how a deploy flows through them:
//
//	.dagger        tests, builds and pushes the image and the bundle, then runs:
//	cmd/cutover    the program, one file for each command, wiring and no logic
//	  config       envs/NAME.yaml and the secrets' file      -> Env
//	  registry     are image and bundle there, by digest?
//	  kube         Observe: what the cluster says            -> plan.Observed
//	  plan         Env + release + Observed                  -> Plan, objects, findings
//	  rollout      Plan -> the steps of pipeline.go, each with its undo
//	    kube       carries them out: apply, migrate, wait, switch, scale, lock
//	    agent      asks the application from a pod in the cluster -> Sightings
//	    migrate    goose, in a Job in the cluster            -> Result
//	  release      the Record: saved before and after each act, by kube's Store
//	  report       Record -> what `deploy` and `status` print
//	  outcome      how it ended: the exit code; what, now, next
//	  redact       hides secrets in all of that
//
// Package probe counts lost requests, for the demo and the tests in e2e; the
// agent asks with it. Package rollout declares the interfaces that kube
// implements, so that it can be tested without a cluster. Start at its
// pipeline.go.
package ci

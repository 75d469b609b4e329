// Package ci is the root of everything that cutover decides. It holds no code;
// its packages do. This is how a deploy flows through them:
//
//	.dagger        tests, builds and pushes the image and the bundle, then runs:
//	cmd/cutover    the program: commands, wiring and no logic
//	  config       envs/NAME.yaml and the secrets' file       -> Env
//	  registry     are image and bundle there, by digest?
//	  kube         takes the lock; Observe: what is there now -> plan.Observed
//	  plan         Env + release + commits + Observed         -> Plan, objects, findings
//	  rollout      Plan -> the steps of pipeline.go, each with its undo
//	    kube       carries them out: apply, migrate, wait, scale, switch
//	    migrate    goose, in a Job in the cluster             -> State, Result
//	      lint     reads what is pending                      -> Findings
//	      rehearse plays it on a database to throw away       -> Report
//	    agent      a pod in the cluster: asks who answers     -> Sightings,
//	               and leads back when the run has died       -> GuardReport
//	      probe    sends requests and counts the lost ones    -> Seconds, a Tally
//	  release      the Record: saved before and after each act, by kube's Store
//	  report       Record -> what the commands print
//	  outcome      how it ended: the exit code; what, now, next
//	  redact       hides secrets in all of that
//
// resume, rollback and unlock begin with the Record instead of a build. Package
// rollout declares the interfaces that kube implements, so that it can be tested
// without a cluster; rollout/contract is what kube and the cluster in memory of
// its tests both keep. Package e2e drives the whole. Start at rollout's
// pipeline.go.
package ci

package main

import (
	"context"
	"fmt"
)

// env prints what a shell needs to use the lab.
func env(context.Context) error {
	if !exists(in("admin.kubeconfig")) {
		return fmt.Errorf("there is no lab on this machine yet; run `go run ./lab up` first")
	}
	host, err := hostAddress()
	if err != nil {
		return err
	}
	fmt.Printf(`export PATH=%q
export KUBECONFIG=%q
export REGISTRY=%q
export PROMETHEUS=%q
export _EXPERIMENTAL_DAGGER_RUNNER_HOST=%q
export DAGGER_NO_NAG=1
export DO_NOT_TRACK=1
`, in("bin")+":$PATH", in("admin.kubeconfig"), host+":5000", "http://"+host+":9090", "unix://"+engineSocket)
	return nil
}

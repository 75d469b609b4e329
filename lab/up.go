package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"sync"
	"time"
)

// A step makes one thing true. It says whether it had to change anything.
type step struct {
	done string // what is true afterwards
	do   func(context.Context) (changed bool, err error)
}

// up makes the lab whole, from whatever state it finds: nothing built yet, half
// built, or running until every process was killed.
func up(ctx context.Context) error {
	if err := cmp.Or(thisMachine().suits(), thisMachine().fits()); err != nil {
		return err
	}
	unlock, err := lock()
	if err != nil {
		return err
	}
	defer unlock()
	l, err := open()
	if err != nil {
		return err
	}
	began := time.Now()
	for _, s := range []step{
		{"ports are free", l.checkPorts},
		{"Debian's packages are here", installPackages},
		{"the network keeps lab traffic on this machine", l.prepareNetwork},
		{"control groups are ready", prepareCgroups},
		{"all programs are compiled", l.compile},
		{"certificates and configuration are written", l.configure},
		{"the images are built", l.buildImages},
		{"the registry answers", l.start(l.registry)},
		{"the images are in the registry", l.pushImages},
		{"etcd answers", l.start(l.etcd)},
		{"the Kubernetes API is ready", l.start(l.apiserver)},
		{"the controllers run", l.start(l.controllers)},
		{"the scheduler runs", l.start(l.scheduler)},
		{"containerd answers", l.start(l.containerd)},
		{"the kubelet is healthy", l.start(l.kubelet)},
		{"kube-proxy is healthy", l.start(l.proxy)},
		{"CoreDNS is ready", l.start(l.coredns)},
		{"the pods to scrape are known", l.start(l.targets)},
		{"Prometheus is ready", l.start(l.prometheus)},
		{"the Dagger engine listens", l.startEngine},
		{"the node is ready and the cluster's names resolve", l.finishCluster},
	} {
		began := time.Now()
		changed, err := s.do(ctx)
		if err != nil {
			return err
		}
		ok(s.done, changed, time.Since(began))
	}
	fmt.Printf("\nThe lab is up after %s. For this shell:  eval \"$(go run ./lab env)\"\n", round(time.Since(began)))
	return nil
}

var output sync.Mutex // compiles report side by side

// ok prints the line of a finished step.
func ok(what string, changed bool, took time.Duration) {
	output.Lock()
	defer output.Unlock()
	when := "already"
	if changed {
		when = round(took)
	}
	fmt.Printf("ok  %-52s %s\n", what, when)
}

// busy prints the line of a part that takes a while, before it begins.
func busy(what string) {
	output.Lock()
	defer output.Unlock()
	fmt.Printf("..  %s\n", what)
}

func round(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// lock keeps two labs from working on the same folder at once.
func lock() (unlock func(), err error) {
	if err := os.MkdirAll(home, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(in("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("another `up` or `down` of the lab is at work in %s; nothing was changed; wait for it and run this again", home)
	}
	return func() { f.Close() }, nil
}

// Command lab brings up a real Dagger engine and a real one-node Kubernetes
// cluster on a Linux machine that has neither Docker nor an image registry in
// reach. It compiles both from their Go modules and takes the rest from Debian.
//
//	go run ./lab up      build what is missing, start what is down
//	go run ./lab status  what runs, what does not, and why
//	go run ./lab env     export lines for a shell: eval "$(go run ./lab env)"
//	go run ./lab down    stop everything; what was built stays
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: go run ./lab up | down | status | env

up      build what is missing and start what is down
status  say what runs and what does not
env     print export lines: eval "$(go run ./lab env)"
down    stop everything; what was built stays in ` + home + `
`

func main() {
	commands := map[string]func(context.Context) error{
		"up": up, "down": down, "status": status, "env": env,
	}
	if len(os.Args) != 2 || commands[os.Args[1]] == nil {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := commands[os.Args[1]](ctx); err != nil {
		fmt.Fprintf(os.Stderr, "lab: %v\n", err)
		os.Exit(1)
	}
}

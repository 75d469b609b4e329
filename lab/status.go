package main

import (
	"context"
	"fmt"
	"time"
)

// status says what runs, what does not, and the last words of that.
func status(ctx context.Context) error {
	if err := thisMachine().suits(); err != nil {
		return err
	}
	l := at("127.0.0.1") // where each program is asked
	down := 0
	for _, p := range l.programs() {
		pid, alive := p.alive()
		if !alive {
			fmt.Printf("down   %s\n%s\n", p.name, tail(p.log(), 5))
			down++
			continue
		}
		attempt, cancel := context.WithTimeout(ctx, 3*time.Second)
		err := p.ready(attempt)
		cancel()
		if err != nil {
			fmt.Printf("stuck  %s  process %d: %v\n%s\n", p.name, pid, err, tail(p.log(), 5))
			down++
			continue
		}
		fmt.Printf("up     %-24s process %d\n", p.name, pid)
	}
	if down > 0 {
		return fmt.Errorf("%d of %d programs are down; `go run ./lab up` starts them; the whole logs are in %s", down, len(l.programs()), in("log"))
	}
	return nil
}

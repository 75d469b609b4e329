package stage

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"
)

// Only a cluster that is the lab's has processes that can be killed.

// KillLab kills one of the programs that the lab's cluster consists of.
func (s *Stage) KillLab(ctx context.Context, program string) error {
	said, err := s.lab(ctx, "status").Output() // it fails when anything is down, and says the same
	found := regexp.MustCompile(`(?m)^up +` + regexp.QuoteMeta(program) + ` +process (\d+)$`).FindSubmatch(said)
	if found == nil {
		return fmt.Errorf("the lab has no running %s: %w\n%s", program, err, said)
	}
	pid, err := strconv.Atoi(string(found[1]))
	if err != nil {
		return err
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

// HealLab starts what is down.
func (s *Stage) HealLab(ctx context.Context) error {
	if said, err := s.lab(ctx, "up").CombinedOutput(); err != nil {
		return fmt.Errorf("the lab does not come up again: %w\n%s", err, said)
	}
	return nil
}

func (s *Stage) lab(ctx context.Context, command string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", "run", "./lab", command)
	cmd.Dir, cmd.Env = s.Root, append(os.Environ(), "GOWORK=") // it is found by the workspace
	return cmd
}

package stage

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Say tells what goes on, as a line with the time.
func Say(format string, args ...any) {
	fmt.Printf("%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

// Keep writes what was measured to build/NAME of cutover's repository, as JSON.
func (s *Stage) Keep(name string, measured any) error {
	data, err := json.MarshalIndent(measured, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(s.Root, "build", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

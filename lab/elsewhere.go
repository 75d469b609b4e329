//go:build !linux

package main

import (
	"errors"
	"os"
	"os/exec"
)

// The lab runs on Linux only and says so before anything else; these stand in
// for what other systems lack, so that it compiles far enough to say it.

var errLinuxOnly = errors.New("the lab runs on Linux only")

func detach(*exec.Cmd)                 {}
func ownMounts(*exec.Cmd)              {}
func lockFile(*os.File) error          { return errLinuxOnly }
func freeBytes(string) (uint64, error) { return 0, errLinuxOnly }
func unmount(string) error             { return errLinuxOnly }
func opaque(string) bool               { return false }

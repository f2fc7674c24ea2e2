//go:build !linux

package password

import "os/exec"

// startIdle starts a process. Only Linux is known to put one behind all others.
func startIdle(cmd *exec.Cmd) error { return cmd.Start() }

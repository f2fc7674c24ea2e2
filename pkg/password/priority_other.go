//go:build !linux

package password

import "os/exec"

// startLowPriority starts a process. The priority is lowered on Linux only.
func startLowPriority(cmd *exec.Cmd) error { return cmd.Start() }

//go:build !linux

package password

import "os/exec"

// startBehind starts a process. Only Linux is known to put one behind others.
func startBehind(cmd *exec.Cmd) error { return cmd.Start() }

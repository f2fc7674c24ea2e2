package main

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"user-service/pkg/config"
	"user-service/pkg/password"
)

// hashCommand returns the command that computes hashes. serve runs the command in a child process, the hashing process. When serve ends for
// any reason, the input of the child ends, and so does the child. The child ignores SIGINT and SIGTERM, because a terminal sends these
// signals to both processes.
func hashCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "hash",
		Short:   "Compute password hashes for serve, which starts this command",
		Example: "  user-service hash",
		Hidden:  true,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			signal.Ignore(syscall.SIGINT, syscall.SIGTERM)
			return password.Serve(cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}

// processOverhead is the memory of the hashing process in addition to the memory of the hashes, in bytes. It is less than the memory of
// one hash, so that Go returns fragmented memory before it allocates more.
const processOverhead = 12 << 20

// startHashing starts this program as the hashing process, and reserves a part of the memory limit for it.
func startHashing(cfg config.Passwords, log *slog.Logger) (*password.Process, error) {
	program := "/proc/self/exe" // the running version, even if the file was replaced
	if runtime.GOOS != "linux" {
		var err error
		if program, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("find this program: %w", err)
		}
	}
	threads := min(cfg.HashConcurrency, runtime.GOMAXPROCS(0))           // more threads than CPUs only cost memory
	limit := int64(newHashConfig(cfg).MemoryKiB())<<10 + processOverhead //nolint:gosec // less than 1 TiB by the bounds
	process := password.NewProcess(password.ProcessConfig{
		Command: func() *exec.Cmd {
			cmd := exec.CommandContext(context.Background(), program, "hash") // it ends with its input
			cmd.Args[0] = os.Args[0]
			cmd.Env = []string{fmt.Sprint("GOMAXPROCS=", threads), fmt.Sprint("GOMEMLIMIT=", limit)} // no secrets
			cmd.Stderr = os.Stderr
			return cmd
		},
		OnExit: func(err error) {
			log.Error("the hashing process has exited; the next hash starts another", "error", err)
		},
		OnStartError: func(err *password.StartError) {
			log.Error("passwords can't be hashed: logins, registrations and password changes get 503",
				"error", err, "next_try_in", err.Retry.String())
		},
	})
	if all := debug.SetMemoryLimit(-1); all < math.MaxInt64 {
		debug.SetMemoryLimit(max(all-limit, all/4))
	}
	return process, process.Start()
}

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

// hashCommand is what serve starts. It ends when its input does, which is when serve ends, however
// that comes about. Signals to stop are for serve: where the process has no session of its own, a terminal sends them to both.
func hashCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "hash",
		Short:   "Compute the password hashes of serve, which starts this by itself",
		Example: "  user-service hash",
		Hidden:  true,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			signal.Ignore(syscall.SIGINT, syscall.SIGTERM)
			return password.Serve(cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}

// processOverhead is the memory in bytes that the process that hashes needs beside that of the hashes. It is too little for one
// hash more: where the memory of one that is done has been cut up, Go gives it back before it takes more.
const processOverhead = 12 << 20

// startHashing starts this program once more, to compute the passwords' hashes, and leaves it its
// part of the memory limit.
func startHashing(cfg config.Passwords, log *slog.Logger) (*password.Process, error) {
	program := "/proc/self/exe" // this one, even if the file has been replaced
	if runtime.GOOS != "linux" {
		var err error
		if program, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("find this program: %w", err)
		}
	}
	threads := min(cfg.HashConcurrency, runtime.GOMAXPROCS(0)) // more than there are CPUs are of no use, and cost memory
	params, limits := hashing(cfg)
	limit := int64(password.MemoryKiB(params, limits))<<10 + processOverhead //nolint:gosec // by their bounds less than 1 TiB
	process := &password.Process{
		Command: func() *exec.Cmd {
			cmd := exec.CommandContext(context.Background(), program, "hash") // its input ends it
			cmd.Args[0] = os.Args[0]
			cmd.Env = []string{fmt.Sprint("GOMAXPROCS=", threads), fmt.Sprint("GOMEMLIMIT=", limit)} // and no secret
			cmd.Stderr = os.Stderr
			return cmd
		},
		OnExit: func(err error) {
			log.Error("the process that hashes passwords has ended, the next login starts another", "error", err)
		},
		Unstarted: func(err *password.StartError) {
			log.Error("passwords can't be hashed: logins, registrations and password changes get 503",
				"error", err, "next_try_in", err.Retry.String())
		},
	}
	if all := debug.SetMemoryLimit(-1); all < math.MaxInt64 {
		debug.SetMemoryLimit(max(all-limit, all/4))
	}
	return process, process.Start()
}

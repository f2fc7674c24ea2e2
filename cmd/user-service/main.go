// Command user-service is the whole program: the service, its migrations, and the
// tools of its operators.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/sethvargo/go-envconfig"
	"github.com/spf13/cobra"

	"user-service/pkg/config"
)

// Exit codes beside 0.
const (
	exitFailed = 1
	exitUsage  = 2 // a bad flag, argument or environment
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(exitCode(err, os.Stderr))
}

// run executes one command line. A command that is stopped by ctx ends without an error.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) error {
	root := rootCommand()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	return root.ExecuteContext(ctx)
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "user-service",
		Short: "Accounts, logins and roles behind an API gateway",
		Long: "user-service keeps accounts in PostgreSQL, issues tokens, and announces every change to RabbitMQ.\n" +
			"It is configured by environment variables: user-service config lists them.",
		Example:       "  user-service migrate up && user-service serve",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          group,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	})
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(serveCommand(), migrateCommand(), usersCommand(), eventsCommand(), configCommand(), versionCommand())
	return root
}

// group runs a command that is only there for its subcommands.
func group(cmd *cobra.Command, _ []string) error {
	_ = cmd.Help()
	return usageError{errors.New("name a command")}
}

// load reads the part of the environment that a command needs into target.
func load(ctx context.Context, target any) error {
	return config.Load(ctx, envconfig.OsLookuper(), target)
}

// usageError is the user's mistake, not the program's failure.
type usageError struct{ error }

func exitCode(err error, errOut io.Writer) int {
	if err == nil || errors.Is(err, context.Canceled) {
		return 0
	}
	fmt.Fprintln(errOut, "user-service:", err)
	var problems *config.Problems
	var usage usageError
	if errors.As(err, &problems) || errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

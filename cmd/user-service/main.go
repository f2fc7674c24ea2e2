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
	"user-service/pkg/telemetry"
)

// Exit codes beside 0.
const (
	exitFailed = 1
	exitUsage  = 2 // a bad flag, argument or environment
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	os.Exit(exitCode(err, os.Stderr))
}

// run executes one command line. The end of ctx is the normal end of serve and events tail;
// to any other command it is an error, as a migration that was cut off has not succeeded.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) error {
	root := rootCommand()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("interrupted: %w", err)
	}
	return err
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
		Args:          noArgs,
		RunE:          group,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	})
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(helpCommand())
	root.AddCommand(serveCommand(), migrateCommand(), usersCommand(), eventsCommand(), configCommand(), probeCommand(), hashCommand(), versionCommand())
	return root
}

// group runs a command that is only there for its subcommands.
func group(cmd *cobra.Command, _ []string) error {
	cmd.SetOut(cmd.ErrOrStderr())
	_ = cmd.Help()
	return usageError{errors.New("name one of these commands")}
}

// noArgs refuses arguments as a mistake of usage.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	kind := "argument"
	if cmd.HasSubCommands() {
		kind = "command"
	}
	return usageError{fmt.Errorf("unknown %s %q; see %s --help", kind, args[0], cmd.CommandPath())}
}

// helpCommand is cobra's own, but that it fails if there is no such command.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]...",
		Short:   "Explain a command",
		Example: "  user-service help users create",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil {
				return err
			}
			if err := noArgs(about, rest); err != nil {
				return err
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}

// load reads the part of the environment that a command needs into target. The error lists all problems with it, and all variables
// that look like misspelled ones.
func load(ctx context.Context, target any) error {
	err := config.Load(ctx, envconfig.OsLookuper(), target, secretChecks()...)
	return addProblems(err, config.Misspelled(os.Environ()))
}

// loadAll reads the whole environment into cfg, that of OpenTelemetry's own variables checked with the rest. The error
// lists all problems of both.
func loadAll(ctx context.Context, cfg *config.Config) error {
	var more []config.Problem
	for _, bad := range telemetry.CheckTracing(ctx) {
		more = append(more, config.Problem(*bad))
	}
	return addProblems(load(ctx, cfg), more)
}

// addProblems returns err, which may be nil, with more problems in it.
func addProblems(err error, more []config.Problem) error {
	var all config.Problems
	if known := (*config.Problems)(nil); errors.As(err, &known) {
		all.List = known.List
	} else if err != nil {
		return err
	}
	if all.List = append(all.List, more...); len(all.List) == 0 {
		return nil
	}
	return &all
}

// usageError is the user's mistake, not the program's failure.
type usageError struct{ error }

func exitCode(err error, errOut io.Writer) int {
	if err == nil {
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

// Command user-service runs the service, its migrations, and commands for operators.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/sethvargo/go-envconfig"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"user-service/pkg/config"
	"user-service/pkg/telemetry"
)

// Exit codes other than 0.
const (
	exitFailed = 1
	exitUsage  = 2 // an invalid flag, argument or environment
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C kills the program
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	os.Exit(exitCode(err, os.Stderr))
}

// run executes a command line. serve, mail and events tail end normally with ctx. For other commands, the end of ctx is an error, because
// an interrupted migration, for example, has not succeeded.
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

		PersistentPreRunE: noEmptyFlags,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	})
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(helpCommand())
	root.AddCommand(serveCommand(), migrateCommand(), usersCommand(), eventsCommand(), mailCommand(), configCommand(), doctorCommand(),
		probeCommand(), hashCommand(), completionCommand(), versionCommand())
	return root
}

// group is the RunE of a command that only has subcommands. It prints the help and returns a usageError.
func group(cmd *cobra.Command, _ []string) error {
	cmd.SetOut(cmd.ErrOrStderr())
	_ = cmd.Help()
	return usageError{errors.New("name one of these commands")}
}

// noEmptyFlags returns a usageError for an empty flag, which is probably an unset variable of a script. Without this error, an empty
// flag would mean no restriction, and so select all users, for example.
func noEmptyFlags(cmd *cobra.Command, _ []string) (err error) {
	cmd.Flags().Visit(func(flag *pflag.Flag) { // visits only flags that the command line sets
		if err == nil && flag.Value.Type() == "string" && flag.Name != "name" && strings.TrimSpace(flag.Value.String()) == "" {
			err = usageError{fmt.Errorf("--%s must not be empty", flag.Name)}
		}
	})
	return err
}

// noArgs returns a usageError for arguments.
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

// helpCommand is cobra's help command, except that it fails for an unknown command.
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

// load reads the variables that a command needs into target. The error lists all problems, including misspelled variables.
func load(target any) error {
	err := config.Load(envconfig.OsLookuper(), target, secretChecks()...)
	return addProblems(err, config.Misspelled(os.Environ()))
}

// loadAll reads variables into target, and checks the variables of OpenTelemetry. The error lists all problems.
func loadAll(ctx context.Context, target any) error {
	var more []config.Problem
	for _, invalid := range telemetry.CheckTracing(ctx) {
		more = append(more, config.Problem(*invalid))
	}
	return addProblems(load(target), more)
}

// addProblems adds problems to err, which may be nil.
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

// usageError is an error in the command line or the environment.
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

package main

import (
	"bytes"
	"cmp"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// program returns the root command.
func program() *cobra.Command {
	root := rootCommand()
	root.InitDefaultHelpCmd()
	return root
}

// commands returns a command and its subcommands.
func commands(cmd *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{cmd}
	for _, sub := range cmd.Commands() {
		all = append(all, commands(sub)...)
	}
	return all
}

func TestEveryCommandHasHelp(t *testing.T) {
	t.Parallel()
	for _, cmd := range commands(program()) {
		t.Run(cmd.CommandPath(), func(t *testing.T) {
			t.Parallel()
			var out, errOut bytes.Buffer
			args := append(strings.Fields(cmd.CommandPath())[1:], "--help")
			if err := run(t.Context(), args, strings.NewReader(""), &out, &errOut); err != nil || errOut.Len() > 0 {
				t.Fatalf("%v, %s", err, &errOut)
			}
			if cmd.Short == "" || cmd.Example == "" {
				t.Error("the command has no description or no example")
			}
			for _, part := range []string{cmp.Or(cmd.Long, cmd.Short), "Usage:\n  " + cmd.CommandPath(), "Examples:\n" + cmd.Example} {
				if !strings.Contains(out.String(), part) {
					t.Errorf("the help does not contain %q:\n%s", part, &out)
				}
			}
			cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
				if f.Usage == "" {
					t.Errorf("--%s has no description", f.Name)
				}
			})
		})
	}
}

// invocation matches the command lines of the program in an example.
var invocation = regexp.MustCompile(`(?:^|\| |&& |[A-Z_]+=\S+ )user-service( [^|&>]*)?`)

func TestEveryExampleIsACommandLineOfThisProgram(t *testing.T) {
	t.Parallel()
	for _, cmd := range commands(program()) {
		for line := range strings.Lines(cmd.Example) {
			found := invocation.FindAllStringSubmatch(strings.TrimSpace(line), -1)
			if len(found) == 0 {
				t.Errorf("%s: %q does not call user-service", cmd.CommandPath(), line)
			}
			for _, f := range found {
				checkCommandLine(t, line, strings.Fields(f[1]))
			}
		}
	}
}

// checkCommandLine checks the command, its flags and its arguments without running it.
func checkCommandLine(t *testing.T, line string, args []string) {
	t.Helper()
	cmd, rest, err := program().Find(args)
	if err != nil {
		t.Errorf("%q: %v", line, err)
		return
	}
	if err := cmd.ParseFlags(rest); err != nil {
		t.Errorf("%q: %v", line, err)
	} else if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
		t.Errorf("%q: %v", line, err)
	}
	if cmd.HasSubCommands() {
		t.Errorf("%q is a group of commands", line)
	}
}

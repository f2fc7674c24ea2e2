package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// completions returns the functions that write the completion scripts, by shell.
func completions(root *cobra.Command) map[string]func(io.Writer) error {
	return map[string]func(io.Writer) error{
		"bash": func(out io.Writer) error { return root.GenBashCompletionV2(out, true) },
		"zsh":  root.GenZshCompletion,
		"fish": func(out io.Writer) error { return root.GenFishCompletion(out, true) },
	}
}

func completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish"}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print a script that completes commands and flags in a shell",
		Long: "completion prints a script for a shell. In bash, it needs the package bash-completion.\n" +
			"To load it in each session, write it to a file that the shell reads at its start.",
		Example: "  user-service completion bash >/etc/bash_completion.d/user-service\n" +
			"  user-service completion zsh >\"${fpath[1]}/_user-service\"\n" +
			"  user-service completion fish >~/.config/fish/completions/user-service.fish",
		ValidArgs: shells,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && slices.Contains(shells, args[0]) {
				return nil
			}
			return usageError{fmt.Errorf("name a shell: %s; see %s --help", strings.Join(shells, ", "), cmd.CommandPath())}
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return completions(cmd.Root())[args[0]](cmd.OutOrStdout())
		},
	}
}

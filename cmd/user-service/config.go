package main

import (
	"errors"
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/sethvargo/go-envconfig"
	"github.com/spf13/cobra"

	"user-service/pkg/config"
)

func configCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "config",
		Short: "Print the current configuration, with secrets hidden",
		Long: "config prints every environment variable with its current value and its source. Secrets are hidden.\n" +
			"It exits with 2 if a variable is missing or invalid, after listing each problem.",
		Example: "  user-service config\n  JWT_SECRET_FILE=/run/secrets/jwt user-service config",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var cfg config.Config
			err := loadAll(cmd.Context(), &cfg)
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, v := range config.Values(envconfig.OsLookuper(), &cfg) {
				if isProblem(err, v.Name) {
					v.Value, v.Source = "-", "problem"
				}
				fmt.Fprintf(table, "%s\t%s\t%s\n", v.Name, v.Value, v.Source)
			}
			return errors.Join(table.Flush(), err)
		},
	}
}

// isProblem reports whether err contains a problem of the variable.
func isProblem(err error, name string) bool {
	var problems *config.Problems
	return errors.As(err, &problems) && slices.ContainsFunc(problems.List, func(p config.Problem) bool { return p.Name == name })
}

package main

import (
	"errors"
	"slices"

	"github.com/sethvargo/go-envconfig"
	"github.com/spf13/cobra"

	"user-service/pkg/config"
)

func configCommand() *cobra.Command {
	var output *string
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print the current configuration, with secrets hidden",
		Long: "config prints every environment variable with its current value and its source. Secrets are hidden.\n" +
			"It exits with 2 if a variable is missing or invalid, after listing each problem.",
		Example: "  user-service config\n  JWT_SECRET_FILE=/run/secrets/jwt user-service config",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var cfg config.Config
			err := loadAll(cmd.Context(), &cfg)
			out := newList(cmd.OutOrStdout(), *output, "VARIABLE", "VALUE", "SOURCE")
			for _, v := range config.Values(envconfig.OsLookuper(), &cfg) {
				if isProblem(err, v.Name) {
					v.Value, v.Source = "-", "problem"
				}
				value := variable{v.Name, v.Value, string(v.Source)}
				if err := out.add(value, value.Name, value.Value, value.Source); err != nil {
					return err
				}
			}
			return errors.Join(out.end(), err)
		},
	}
	output = addOutput(cmd)
	return cmd
}

// variable is an environment variable in JSON.
type variable struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source string `json:"source"`
}

// isProblem reports whether err contains a problem of the variable.
func isProblem(err error, name string) bool {
	var problems *config.Problems
	return errors.As(err, &problems) && slices.ContainsFunc(problems.List, func(p config.Problem) bool { return p.Name == name })
}

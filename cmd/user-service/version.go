package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"user-service/pkg/telemetry"
)

// version is set when the program is linked.
var version = "dev"

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of the program",
		Example: "  user-service version",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "user-service %s (revision %s, %s, %s/%s)\n",
				version, telemetry.Revision(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

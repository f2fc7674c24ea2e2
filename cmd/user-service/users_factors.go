package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"user-service/pkg/access"
	"user-service/pkg/factor"
	"user-service/pkg/user"
)

// listedFactor is the JSON of a factor.
type listedFactor struct {
	ID         uuid.UUID   `json:"id"`
	Type       factor.Type `json:"type"`
	Name       string      `json:"name"`
	CreatedAt  time.Time   `json:"created_at"`
	LastUsedAt time.Time   `json:"last_used_at,omitzero"`
	Confirmed  bool        `json:"confirmed"`
}

func usersFactorsCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "factors EMAIL|ID",
		Short:   "List the second factors of an account",
		Example: "  user-service users factors ada@example.com\n  user-service users factors ada@example.com -o json | jq -r '.[].id'",
		Args:    exactArgs("EMAIL|ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output != "table" && output != "json" {
				return usageError{errors.New("-o must be table or json")}
			}
			return withUsers(cmd, func(users *user.Service) error {
				u, err := accountNamed(cmd, users, args[0])
				if err != nil {
					return err
				}
				factors, err := users.Factors(cmd.Context(), u.ID)
				if err != nil {
					return fmt.Errorf("list the factors: %w", plainly(err))
				}
				return printFactors(cmd, factors, output == "json")
			})
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table, or json: an array")
	return cmd
}

func printFactors(cmd *cobra.Command, factors user.Factors, asJSON bool) error {
	items := make([]listedFactor, len(factors.All))
	for i, f := range factors.All {
		items[i] = listedFactor{
			ID: f.ID, Type: f.Type, Name: f.Name, CreatedAt: f.CreatedAt, LastUsedAt: f.LastUsedAt, Confirmed: f.Confirmed,
		}
	}
	if asJSON {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(items)
	}
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tTYPE\tNAME\tCREATED\tCONFIRMED")
	for _, f := range items {
		fmt.Fprintf(table, "%s\t%s\t%q\t%s\t%t\n", f.ID, f.Type, f.Name, f.CreatedAt.Format(time.RFC3339), f.Confirmed)
	}
	return table.Flush()
}

func usersRemoveFactorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "remove-factor EMAIL|ID FACTOR_ID",
		Short: "Remove a second factor of an account, for a user who has lost it",
		Example: "  user-service users remove-factor ada@example.com " +
			"019ab3d0-1a2b-7c3d-8e4f-5a6b7c8d9e02",
		Args: exactArgs("EMAIL|ID", "FACTOR_ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := uuid.Parse(args[1])
			if err != nil {
				return usageError{errors.New("FACTOR_ID must be the id of a factor, as users factors lists it")}
			}
			return withUsers(cmd, func(users *user.Service) error {
				u, err := accountNamed(cmd, users, args[0])
				if err != nil {
					return err
				}
				if err := users.RemoveFactorOf(cmd.Context(), access.Internal(u.ID), id); err != nil {
					return fmt.Errorf("remove the factor: %w", plainly(err))
				}
				return nil
			})
		},
	}
}

// accountNamed returns the account with an email or an id.
func accountNamed(cmd *cobra.Command, users *user.Service, name string) (user.User, error) {
	if id, err := uuid.Parse(name); err == nil {
		u, err := users.Get(cmd.Context(), id)
		if err != nil {
			return u, fmt.Errorf("find the account: %w", plainly(err))
		}
		return u, nil
	}
	page, err := users.List(cmd.Context(), user.Filter{Limit: 1, Email: user.TrimEmail(name)})
	switch {
	case err != nil:
		return user.User{}, fmt.Errorf("find the account: %w", plainly(err))
	case len(page.Users) == 0:
		return user.User{}, errors.New("no account has this email")
	}
	return page.Users[0], nil
}

// exactArgs accepts exactly the named arguments.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return usageError{fmt.Errorf("give these arguments: %s", names)}
		}
		return nil
	}
}

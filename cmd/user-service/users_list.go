package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"user-service/pkg/user"
)

// listPage is the number of accounts that one query reads.
const listPage = 500

func usersListCommand() *cobra.Command {
	var filter user.Filter
	var status string
	var output *string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List all accounts, oldest first",
		Example: "  user-service users list --role admin\n  user-service users list -o json | jq -r '.[].email'",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter.Limit, filter.Status = listPage, user.Status(status)
			if filter.Status != "" && !filter.Status.Valid() {
				return usageError{errors.New("--status must be active or disabled")}
			}
			return withUsers(cmd, func(users *user.Service) error { return listUsers(cmd, users, filter, *output) })
		},
	}
	output = addOutput(cmd)
	cmd.Flags().StringVar(&filter.Email, "email", "", "only the account with this email")
	cmd.Flags().StringVar(&filter.Prefix, "q", "", "only accounts whose email or name begins with this text")
	cmd.Flags().StringVar(&filter.Role, "role", "", "only accounts with this role")
	cmd.Flags().StringVar(&status, "status", "", "only active or disabled accounts")
	return cmd
}

func listUsers(cmd *cobra.Command, users *user.Service, filter user.Filter, output string) error {
	out := newList(cmd.OutOrStdout(), output, "ID", "EMAIL", "ROLES", "STATUS", "CREATED")
	for {
		page, err := users.List(cmd.Context(), filter)
		if err != nil {
			return fmt.Errorf("list the accounts: %w", plainly(err))
		}
		for _, u := range page.Users {
			if err := out.add(u, u.ID, u.Email, strings.Join(u.Roles, ","), u.Status, u.CreatedAt.Format(time.RFC3339)); err != nil {
				return err
			}
		}
		if !page.More {
			return out.end()
		}
		filter.After = page.Users[len(page.Users)-1].ID
	}
}

func usersShowCommand() *cobra.Command {
	var output *string
	cmd := &cobra.Command{
		Use:     "show EMAIL|ID",
		Short:   "Show an account",
		Example: "  user-service users show ada@example.com\n  user-service users show ada@example.com -o json | jq .metadata",
		Args:    oneUser,
		RunE: func(cmd *cobra.Command, args []string) error {
			return withUser(cmd, args[0], func(users *user.Service, id uuid.UUID) error {
				u, err := users.Get(cmd.Context(), id)
				if err != nil {
					return fmt.Errorf("show the account: %w", aboutUser(err))
				}
				return object(cmd.OutOrStdout(), *output, u, fieldsOf(u)...)
			})
		},
	}
	output = addOutput(cmd)
	return cmd
}

// fieldsOf returns the fields of a user that have a value, with the names of the API.
func fieldsOf(u user.User) [][2]any {
	fields := [][2]any{{"id", u.ID}, {"email", u.Email}, {"email_verified", u.EmailVerified}}
	for _, f := range user.ProfileFields {
		switch value := f.In(&u.Profile).(type) {
		case *string:
			if *value != "" {
				fields = append(fields, [2]any{f.Name, *value})
			}
		case *json.RawMessage:
			if len(*value) > 0 {
				fields = append(fields, [2]any{f.Name, string(*value)})
			}
		}
	}
	return append(fields, [2]any{"roles", strings.Join(u.Roles, ",")}, [2]any{"status", u.Status}, [2]any{"version", u.Version},
		[2]any{"created_at", u.CreatedAt.Format(time.RFC3339)}, [2]any{"updated_at", u.UpdatedAt.Format(time.RFC3339)})
}

package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"user-service/pkg/access"
	"user-service/pkg/user"
)

// oneUser returns a usageError unless the arguments name one user.
func oneUser(cmd *cobra.Command, args []string) error {
	if len(args) == 1 && strings.TrimSpace(args[0]) != "" {
		return nil
	}
	return usageError{fmt.Errorf("name one account by its email or id; see %s --help", cmd.CommandPath())}
}

// withUser calls do with a user.Service and the id of the user with this email or id.
func withUser(cmd *cobra.Command, name string, do func(*user.Service, uuid.UUID) error) error {
	return withUsers(cmd, func(users *user.Service) error {
		id, err := findUser(cmd, users, user.TrimEmail(name))
		if err != nil {
			return err
		}
		return do(users, id)
	})
}

// aboutUser converts an error about one user for the command line.
func aboutUser(err error) error {
	var failed *user.Error
	if errors.As(err, &failed) && failed.Code == user.NotFound {
		return errors.New("no user has this id")
	}
	return plainly(err)
}

// changeUser calls change for the user with this email or id, and then prints done. operation is the prefix of its errors.
func changeUser(cmd *cobra.Command, name, operation, done string, change func(*user.Service, access.Grant) error) error {
	return withUser(cmd, name, func(users *user.Service, id uuid.UUID) error {
		if err := change(users, access.Internal(id)); err != nil {
			return fmt.Errorf("%s: %w", operation, aboutUser(err))
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", id, done)
		return err
	})
}

func usersSetRolesCommand() *cobra.Command {
	var none bool
	cmd := &cobra.Command{
		Use:   "set-roles (EMAIL|ID) (ROLE... | --none)",
		Short: "Replace the roles of an account",
		Long: "set-roles replaces all roles of an account. The change takes effect at the next request of the user.\n" +
			"The last active admin keeps the role admin.",
		Example: "  user-service users set-roles ada@example.com admin\n  user-service users set-roles ada@example.com user support",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return oneUser(cmd, args)
			}
			if err := oneUser(cmd, args[:1]); err != nil || none == (len(args) == 1) {
				return err
			}
			return usageError{fmt.Errorf("name the roles, or give --none; see %s --help", cmd.CommandPath())}
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			roles := args[1:]
			done := "has the roles " + strings.Join(roles, ", ")
			if none {
				done = "has no roles"
			}
			return changeUser(cmd, args[0], "set the roles", done, func(users *user.Service, grant access.Grant) error {
				_, err := users.SetRoles(cmd.Context(), grant, roles, nil)
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&none, "none", false, "remove all roles")
	return cmd
}

func usersDisableCommand() *cobra.Command {
	return statusCommand("disable", "Disable an account, and end its sessions", user.Disabled,
		"disable ends all sessions of the user immediately, and invalidates reset tokens. The last active admin can't\n"+
			"be disabled.")
}

func usersEnableCommand() *cobra.Command {
	return statusCommand("enable", "Enable a disabled account", user.Active,
		"enable allows the user to log in again.")
}

func statusCommand(name, short string, status user.Status, long string) *cobra.Command {
	return &cobra.Command{
		Use: name + " EMAIL|ID", Short: short, Long: long, Example: "  user-service users " + name + " ada@example.com", Args: oneUser,
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeUser(cmd, args[0], name+" the account", "is "+string(status), func(users *user.Service, grant access.Grant) error {
				_, err := users.SetStatus(cmd.Context(), grant, status, nil)
				return err
			})
		},
	}
}

func usersUnlockCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "unlock EMAIL|ID",
		Short: "Clear the counts of login failures of an account",
		Long: "unlock ends every backoff after login failures: for the email on all networks, for entering the password\n" +
			"again, and for wrong codes of a second factor. Further failures are counted from zero. A disabled account\n" +
			"stays disabled.",
		Example: "  user-service users unlock ada@example.com",
		Args:    oneUser,
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeUser(cmd, args[0], "unlock the account", "has no login failures",
				func(users *user.Service, grant access.Grant) error { return users.Unlock(cmd.Context(), grant) })
		},
	}
}

func usersDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "delete EMAIL|ID",
		Short: "Erase an account and its personal data",
		Long: "delete erases an account, its personal data and its events that still wait. It can't be undone, and does not\n" +
			"ask. The last active admin can't be erased.",
		Example: "  user-service users delete ada@example.com",
		Args:    oneUser,
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeUser(cmd, args[0], "delete the account", "is erased", func(users *user.Service, grant access.Grant) error {
				return users.Delete(cmd.Context(), grant, nil)
			})
		},
	}
}

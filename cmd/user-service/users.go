package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"user-service/pkg/access"
	"user-service/pkg/config"
	"user-service/pkg/password"
	"user-service/pkg/postgres"
	"user-service/pkg/pwned"
	"user-service/pkg/user"
)

// usersEnvironment has the variables for the users commands.
type usersEnvironment struct {
	Database  config.Database
	Passwords config.Passwords
}

func usersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "users", Short: "Create, import, list and change accounts", Example: "  user-service users list", Args: noArgs, RunE: group,
	}
	cmd.AddCommand(usersCreateCommand(), usersImportCommand(), usersListCommand(), usersShowCommand(), usersSetRolesCommand(),
		usersDisableCommand(), usersEnableCommand(), usersUnlockCommand(), usersFactorsCommand(), usersRemoveFactorCommand(),
		usersDeleteCommand())
	return cmd
}

// withUsers calls do with a user.Service on the configured database.
func withUsers(cmd *cobra.Command, do func(*user.Service) error) error {
	var env usersEnvironment
	if err := load(&env); err != nil {
		return err
	}
	return onDatabase(cmd, env.Database, func(db *postgres.DB) error {
		hasher, err := password.NewHasher(newHashConfig(env.Passwords))
		if err != nil {
			return err
		}
		cmd.SetContext(user.WithOrigin(cmd.Context(), user.Origin{Actor: user.CLI}))
		return do(user.New(user.Config{
			Passwords: password.Policy{MinLength: env.Passwords.MinLength}, Breaches: newBreaches(env.Passwords, pwned.Config{}),
		}, db, hasher, nil))
	})
}

// withDatabase calls do with the configured database.
func withDatabase(cmd *cobra.Command, do func(*postgres.DB) error) error {
	var env struct{ Database config.Database }
	if err := load(&env); err != nil {
		return err
	}
	return onDatabase(cmd, env.Database, do)
}

func onDatabase(cmd *cobra.Command, cfg config.Database, do func(*postgres.DB) error) error {
	db, err := postgres.Open(cmd.Context(), postgres.Config{URL: cfg.URL.Reveal(), MaxConns: 2}, nil)
	if err != nil {
		return usageError{fmt.Errorf("DATABASE_URL: %w", err)}
	}
	defer closeDatabase(cmd.Context(), db)
	if err := requireSchema(cmd.Context(), db); err != nil {
		return err
	}
	return do(db)
}

// requireSchema returns an error with instructions if the schema is too old.
func requireSchema(ctx context.Context, db *postgres.DB) error {
	required, err := postgres.RequiredSchema()
	if err != nil {
		return err
	}
	found, err := db.SchemaVersion(ctx)
	if err != nil {
		return plainly(err)
	}
	if err := checkSchema(found, required); err != nil {
		return fmt.Errorf("the database's schema: %w", err)
	}
	return nil
}

func usersCreateCommand() *cobra.Command {
	var email, name, file string
	var roles []string
	var stdin, ifAbsent bool
	cmd := &cobra.Command{
		Use:   "create --email EMAIL (--password-stdin | --password-file FILE) [--role ROLE]...",
		Short: "Create an account, such as the first admin",
		Example: "  openssl rand -base64 18 | tee /dev/stderr | " +
			"user-service users create --email ada@example.com --role admin --password-stdin\n" +
			"  user-service users create --email ada@example.com --role admin --password-file /run/secrets/admin",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if email == "" {
				return usageError{errors.New("give the email with --email")}
			}
			pw, err := readPassword(cmd.InOrStdin(), stdin, file)
			if err != nil {
				return err
			}
			return withUsers(cmd, func(users *user.Service) error {
				u, err := users.Create(cmd.Context(), access.Internal(uuid.Nil), user.Registration{
					Email: user.TrimEmail(email), Password: pw, Profile: user.Profile{Name: name},
				}, roles...)
				if taken(err) && ifAbsent {
					_, err = fmt.Fprintln(cmd.OutOrStdout(), "the account already exists")
					return err
				}
				if err != nil {
					return fmt.Errorf("create the account: %w", plainly(err))
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), u.ID)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&email, "email", "", "the account's email")
	cmd.Flags().StringVar(&name, "name", "", "the account's name")
	cmd.Flags().StringArrayVar(&roles, "role", []string{access.User}, "a role of the account; may be repeated")
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from standard input")
	cmd.Flags().StringVar(&file, "password-file", "", "read the password from this file")
	cmd.Flags().BoolVar(&ifAbsent, "if-absent", false, "leave an existing account unchanged, and succeed")
	return cmd
}

func taken(err error) bool {
	var failed *user.Error
	return errors.As(err, &failed) && failed.Code == user.EmailTaken
}

// readPassword reads a password from standard input or a file, where other users can't see it. It removes one newline at the end.
func readPassword(in io.Reader, stdin bool, file string) (string, error) {
	if stdin == (file != "") {
		return "", usageError{errors.New("give the password with either --password-stdin or --password-file")}
	}
	if file != "" {
		f, err := os.Open(file) //nolint:gosec // the operator sets the path
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, 4096))
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r"), nil
}

// plainly converts an error of pkg/user for the command line.
func plainly(err error) error {
	var e *user.Error
	if !errors.As(err, &e) {
		return err
	}
	if e.Code == user.Unavailable {
		return errors.Join(errors.New(e.Detail), e.Err)
	}
	if len(e.Fields) == 0 {
		return errors.New(e.Detail)
	}
	var lines []error
	for _, f := range e.Fields {
		lines = append(lines, fmt.Errorf("%s %s", strings.TrimPrefix(f.Pointer, "/"), f.Detail))
	}
	return errors.Join(lines...)
}

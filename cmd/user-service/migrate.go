package main

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/spf13/cobra"

	"user-service/pkg/config"
	"user-service/pkg/postgres"
	"user-service/pkg/telemetry"
)

func migrateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Apply, revert or list migrations of the database schema",
		Long: "migrate changes the schema of the database at MIGRATION_DATABASE_URL, or else DATABASE_URL.\n" +
			"Concurrent runs wait for each other.",
		Example: "  user-service migrate up",
		Args:    noArgs,
		RunE:    group,
	}
	cmd.AddCommand(
		&cobra.Command{
			Use: "up", Short: "Apply all pending migrations", Example: "  user-service migrate up",
			Args: noArgs, RunE: withMigrator(migrateUp),
		},
		&cobra.Command{
			Use: "down", Short: "Revert the last migration; the data that it added is lost", Example: "  user-service migrate down",
			Args: noArgs, RunE: withMigrator(migrateDown),
		},
		migrateStatusCommand(),
	)
	return cmd
}

func withMigrator(do func(*cobra.Command, *postgres.Migrator) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		var env struct{ Database config.Database }
		if err := load(&env); err != nil {
			return err
		}
		log := telemetry.NewLogger(cmd.ErrOrStderr(), slog.LevelWarn)
		m, err := postgres.NewMigrator(env.Database.Migrations().Reveal(), log)
		if err != nil {
			return usageError{fmt.Errorf("MIGRATION_DATABASE_URL or DATABASE_URL: %w", err)}
		}
		defer func() { _ = m.Close() }()
		return do(cmd, m)
	}
}

func migrateUp(cmd *cobra.Command, m *postgres.Migrator) error {
	results, err := m.Up(cmd.Context())
	for _, r := range results {
		fmt.Fprintf(cmd.OutOrStdout(), "applied %s in %s\n", migrationName(r.Source), r.Duration.Round(time.Millisecond))
	}
	if err != nil {
		return fmt.Errorf("migrate up: %w", err)
	}
	if len(results) == 0 {
		fmt.Fprintln(cmd.OutOrStdout(), "the schema is up to date")
	}
	return nil
}

func migrateDown(cmd *cobra.Command, m *postgres.Migrator) error {
	r, err := m.Down(cmd.Context())
	if errors.Is(err, goose.ErrNoNextVersion) {
		return errors.New("migrate down: no migration is applied")
	}
	if err != nil {
		return fmt.Errorf("migrate down: %w", err)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "reverted %s in %s\n", migrationName(r.Source), r.Duration.Round(time.Millisecond))
	return nil
}

func migrateStatusCommand() *cobra.Command {
	var output *string
	cmd := &cobra.Command{
		Use: "status", Short: "List the migrations and whether they are applied", Example: "  user-service migrate status",
		Args: noArgs, RunE: withMigrator(func(cmd *cobra.Command, m *postgres.Migrator) error { return migrateStatus(cmd, m, *output) }),
	}
	output = addOutput(cmd)
	return cmd
}

// migrationState is a migration in JSON.
type migrationState struct {
	Name      string     `json:"name"`
	AppliedAt *time.Time `json:"applied_at"` // null: pending
}

func migrateStatus(cmd *cobra.Command, m *postgres.Migrator, output string) error {
	all, err := m.Status(cmd.Context())
	if err != nil {
		return fmt.Errorf("migrate status: %w", err)
	}
	out := newList(cmd.OutOrStdout(), output, "MIGRATION", "APPLIED")
	for _, s := range all {
		state, applied := migrationState{Name: migrationName(s.Source)}, "pending"
		if !s.AppliedAt.IsZero() {
			at := s.AppliedAt.UTC()
			state.AppliedAt, applied = &at, at.Format(time.RFC3339)
		}
		if err := out.add(state, state.Name, applied); err != nil {
			return err
		}
	}
	return out.end()
}

// migrationName returns the file of a migration. A migration in Go has no path.
func migrationName(source *goose.Source) string {
	if source.Path == "" {
		return fmt.Sprintf("%05d.go", source.Version)
	}
	return source.Path
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"user-service/pkg/importer"
	"user-service/pkg/user"
)

func usersImportCommand() *cobra.Command {
	var format string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "import [FILE|-]",
		Short: "Import the accounts of another service, with their password hashes",
		Long: "import creates an account for each line of FILE or of standard input: JSON lines, or CSV with a header.\n" +
			"The fields or columns are " + strings.Join(importer.FieldNames(), ", ") + ";\n" +
			"email is required. An id must be a UUID, and is kept. Without an id the account gets a new one. In CSV,\n" +
			"roles are separated by spaces or semicolons, and metadata is JSON. Supported hashes are bcrypt, argon2id,\n" +
			"argon2i, and PBKDF2-SHA256 as Django or passlib write it. The first login replaces a hash by the current\n" +
			"format. Without a hash the account has no password yet. The user requests a reset, or is invited through\n" +
			"the API. The import sends no mail.\n\n" +
			"A line that breaks a rule is refused and reported, the other lines are imported, and the exit code is 1. An\n" +
			"email that has an account is left unchanged, so that the same file can be imported again.",
		Example: "  user-service users import --dry-run users.jsonl\n" +
			"  psql -qAtf export.sql old | user-service users import -",
		Args: atMostOneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			name := strings.Join(args, "")
			if format == "" {
				format = formatOf(name)
			}
			if !slices.Contains([]string{importer.JSONLines, importer.CSV}, format) {
				return usageError{errors.New("set --format to jsonl or csv")}
			}
			return withUsers(cmd, func(users *user.Service) error {
				return importFile(cmd, users, name, format, dryRun)
			})
		},
	}
	cmd.Flags().StringVar(&format, "format", "", "jsonl or csv; the default is the extension of FILE, and jsonl for standard input")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false,
		"check and count, and change nothing; an email or an id twice in the file may be counted twice")
	return cmd
}

func atMostOneArg(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usageError{fmt.Errorf("name one file; see %s --help", cmd.CommandPath())}
	}
	return nil
}

// formatOf returns the format of a file by its name.
func formatOf(file string) string {
	if isStdin(file) {
		return importer.JSONLines
	}
	return importer.FormatOf(file)
}

func isStdin(file string) bool { return file == "" || file == "-" }

// openAccounts opens a file or standard input. The size is -1 where it is unknown.
func openAccounts(cmd *cobra.Command, name string) (in io.ReadCloser, size int64, err error) {
	if isStdin(name) {
		return io.NopCloser(cmd.InOrStdin()), -1, nil
	}
	f, err := os.Open(name) //nolint:gosec // the file that the operator names
	if err != nil {
		return nil, 0, fmt.Errorf("read the accounts: %w", err)
	}
	if stat, err := f.Stat(); err == nil && stat.Mode().IsRegular() {
		return f, stat.Size(), nil
	}
	return f, -1, nil
}

func importFile(cmd *cobra.Command, users *user.Service, name, format string, dryRun bool) error {
	in, size, err := openAccounts(cmd, name)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	accounts, err := users.NewImporter(cmd.Context())
	if err != nil {
		return fmt.Errorf("import: %w", plainly(err))
	}
	progress := newProgress(cmd.ErrOrStderr(), size)
	cfg := importer.Config{
		DryRun:  dryRun,
		Refused: func(line int, problem string) { progress.say("line %d: %s", line, problem) },
		Stored:  func(c importer.Counts) { progress.show(c.Lines(), importSummary(c, dryRun)) },
	}
	counts, err := importer.Run(cmd.Context(), plainAccounts{accounts}, cfg, progress.reader(in), format)
	progress.end()
	fmt.Fprintln(cmd.OutOrStdout(), importSummary(counts, dryRun))
	if err == nil && counts.Refused > 0 {
		err = fmt.Errorf("lines were refused: %d; correct them and import again", counts.Refused)
	}
	return err
}

// plainAccounts is a user.Importer with errors for the terminal.
type plainAccounts struct{ *user.Importer }

// Import implements importer.Accounts.
func (a plainAccounts) Import(ctx context.Context, batch []user.Import, dryRun bool) (created int, taken []int, err error) {
	created, taken, err = a.Importer.Import(ctx, batch, dryRun)
	return created, taken, plainly(err)
}

func importSummary(c importer.Counts, dryRun bool) string {
	created := "created"
	if dryRun {
		created = "would create"
	}
	summary := fmt.Sprintf("%s %d, already there %d, refused %d", created, c.Created, c.Existing, c.Refused)
	if c.NoHash > 0 {
		summary += fmt.Sprintf("; lines without a password hash: %d", c.NoHash)
	}
	return summary
}

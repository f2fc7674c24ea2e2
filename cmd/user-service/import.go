package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"user-service/pkg/user"
)

// importBatch is how many accounts one transaction stores.
const importBatch = 500

func usersImportCommand() *cobra.Command {
	var format string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "import [FILE|-]",
		Short: "Bring accounts over from another service, with their password hashes",
		Long: "import makes an account of each line of FILE, or of standard input: JSON lines, or CSV with a header.\n" +
			"The members or columns are " + strings.Join(memberNames(), ", ") + ";\n" +
			"email and password_hash are required. An id, which has to be a UUID, is kept; without one the account\n" +
			"gets a new one. In CSV, roles are separated by spaces or semicolons, and metadata is JSON. Hashes may be of bcrypt, argon2id, argon2i, and PBKDF2-SHA256 as Django or passlib\n" +
			"write it; each is replaced by today's kind at the first login.\n\n" +
			"A line that breaks a rule is refused and reported, the others go on, and the exit code is 1. An email\n" +
			"that has an account already is left alone, so that the same file can be imported again.",
		Example: "  user-service users import --dry-run users.jsonl\n" +
			"  psql -qAtf export.sql old | user-service users import -",
		Args: atMostOneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			name := strings.Join(args, "")
			if format == "" {
				format = formatOf(name)
			}
			if !slices.Contains([]string{formatJSON, formatCSV}, format) {
				return usageError{errors.New("say by --format whether the file is jsonl or csv")}
			}
			return withUsers(cmd, func(users *user.Service) error {
				return importFile(cmd, users, name, format, dryRun)
			})
		},
	}
	cmd.Flags().StringVar(&format, "format", "", "jsonl or csv; by default what FILE's extension says, and jsonl for standard input")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "check and count, and change nothing; an email twice in the file may be counted twice")
	return cmd
}

func atMostOneArg(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usageError{fmt.Errorf("name one file; see %s --help", cmd.CommandPath())}
	}
	return nil
}

// The formats of a file of accounts.
const (
	formatJSON = "jsonl"
	formatCSV  = "csv"
)

func formatOf(file string) string {
	switch extension := strings.ToLower(filepath.Ext(file)); {
	case extension == ".csv":
		return formatCSV
	case isStdin(file), slices.Contains([]string{".jsonl", ".ndjson", ".json"}, extension):
		return formatJSON
	default:
		return ""
	}
}

func isStdin(file string) bool { return file == "" || file == "-" }

func importFile(cmd *cobra.Command, users *user.Service, name, format string, dryRun bool) error {
	in, size := cmd.InOrStdin(), int64(-1)
	if !isStdin(name) {
		f, err := os.Open(name) //nolint:gosec // the file that the operator names
		if err != nil {
			return fmt.Errorf("read the accounts: %w", err)
		}
		defer func() { _ = f.Close() }()
		if stat, err := f.Stat(); err == nil && stat.Mode().IsRegular() {
			size = stat.Size()
		}
		in = f
	}
	importer, err := users.NewImporter(cmd.Context())
	if err != nil {
		return fmt.Errorf("import: %w", plainly(err))
	}
	run := importRun{importer: importer, dryRun: dryRun, progress: newProgress(cmd.ErrOrStderr(), size)}
	err = run.all(cmd.Context(), read(cmd.Context(), run.progress.reader(in), format))
	run.progress.end()
	fmt.Fprintln(cmd.OutOrStdout(), run.summary())
	if err == nil && run.refused > 0 {
		err = fmt.Errorf("lines were refused: %d; correct them and import again", run.refused)
	}
	return err
}

// read sends the records of a file until it ends or ctx does. It reads beside whoever takes
// them, so that a standard input which never comes doesn't keep the program from ending.
func read(ctx context.Context, in io.Reader, format string) <-chan record {
	out := make(chan record)
	go func() {
		defer close(out)
		for r := range records(in, format) {
			select {
			case out <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// importRun is one run of the command.
type importRun struct {
	importer *user.Importer
	dryRun   bool
	progress *progress
	batch    []user.Import
	lines    []int // where the accounts of the batch are

	created, existing, refused int
}

// errStopped is not the context's error, which would count as success.
var errStopped = errors.New("stopped before the end; what the summary tells is done, import again for the rest")

func (r *importRun) all(ctx context.Context, in <-chan record) error {
	for {
		select {
		case <-ctx.Done():
			return errStopped
		case rec, more := <-in:
			switch {
			case !more:
				return r.flush(ctx)
			case rec.fatal != nil:
				return errors.Join(rec.fatal, r.flush(ctx))
			}
			r.take(rec)
			if len(r.batch) < importBatch {
				continue
			}
			if err := r.flush(ctx); err != nil {
				return err
			}
		}
	}
}

// take puts the account of a record into the batch, or reports all that is wrong with it.
func (r *importRun) take(rec record) {
	if rec.broken != "" {
		r.refuse(rec.line, rec.broken)
		return
	}
	account, errs := rec.account()
	for _, e := range r.importer.Check(account) {
		errs.Append(e)
	}
	if len(errs) == 0 {
		r.batch, r.lines = append(r.batch, account), append(r.lines, rec.line)
		return
	}
	var all []string
	for _, e := range errs {
		all = append(all, strings.TrimPrefix(e.Pointer, "/")+" "+e.Detail)
	}
	slices.Sort(all)
	r.refuse(rec.line, all...)
}

func (r *importRun) refuse(line int, why ...string) {
	r.refused++
	for _, w := range why {
		r.progress.say("line %d: %s", line, w)
	}
}

// flush stores the batch.
func (r *importRun) flush(ctx context.Context) error {
	created, taken, err := r.importer.Import(ctx, r.batch, r.dryRun)
	if ctx.Err() != nil {
		return errStopped
	}
	if err != nil {
		return fmt.Errorf("import: %w", plainly(err))
	}
	r.created += created
	r.existing += len(r.batch) - created - len(taken)
	for _, i := range taken {
		r.refuse(r.lines[i], "id belongs to an account with another email")
	}
	r.batch, r.lines = r.batch[:0], r.lines[:0]
	r.progress.show(r.created+r.existing+r.refused, r.summary())
	return nil
}

func (r *importRun) summary() string {
	created := "created"
	if r.dryRun {
		created = "would create"
	}
	return fmt.Sprintf("%s %d, already there %d, refused %d", created, r.created, r.existing, r.refused)
}

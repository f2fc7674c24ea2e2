// Package importer reads the accounts of another service from CSV or JSON lines, and stores them in batches.
package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/google/uuid"

	"user-service/pkg/user"
)

// batchSize is the number of accounts that one transaction stores.
const batchSize = 500

// ErrStopped is the error of an import whose context was canceled. It differs from the error of the context, because commands treat that
// error as success.
var ErrStopped = errors.New("stopped before the end; the accounts in the summary are imported, import the file again for the rest")

// Accounts checks and stores imported accounts. user.Importer implements it.
type Accounts interface {
	Check(a user.Import) user.FieldErrors
	Import(ctx context.Context, batch []user.Import, dryRun bool) (created int, taken []int, err error)
}

// Config has the options of an import.
type Config struct {
	DryRun  bool
	Refused func(line int, problem string) // called for each problem of a refused line; nil: not reported
	Stored  func(Counts)                   // called after each batch; nil: not reported
}

// Counts are the numbers of imported lines by their result.
type Counts struct {
	Created  int // in a dry run: would be created
	Existing int // the email has an account, which the import leaves unchanged
	Refused  int
	NoHash   int // lines without a password hash, which the other counts include
}

// Lines returns the number of lines that are counted.
func (c Counts) Lines() int { return c.Created + c.Existing + c.Refused }

// Run imports the accounts of a file. format is a result of FormatOf. Run returns its counts, also together with an error.
//
// Errors: ErrStopped, the error of accounts.Import, an error in reading the file. After an error in reading the file, the accounts before
// this error are stored.
func Run(ctx context.Context, accounts Accounts, cfg Config, in io.Reader, format string) (Counts, error) {
	if cfg.Refused == nil {
		cfg.Refused = func(int, string) {}
	}
	if cfg.Stored == nil {
		cfg.Stored = func(Counts) {}
	}
	r := run{accounts: accounts, cfg: cfg, ids: map[uuid.UUID]string{}}
	err := r.all(ctx, read(ctx, in, format))
	return r.counts, err
}

// read sends the records of a file until the file or ctx ends. It reads in a goroutine of its own, so that the program can end while it
// still waits for standard input.
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

// run is one import.
type run struct {
	accounts Accounts
	cfg      Config
	batch    []user.Import
	lines    []int                // the lines of the accounts in the batch
	ids      map[uuid.UUID]string // the email keys of the accounts in the batch that have an id
	counts   Counts
}

// idTaken is the problem of an id that another account has.
const idTaken = "id belongs to an account with another email"

func (r *run) all(ctx context.Context, in <-chan record) error {
	for {
		select {
		case <-ctx.Done():
			return ErrStopped
		case rec, more := <-in:
			switch {
			case !more:
				return r.store(ctx)
			case rec.fatal != nil:
				return errors.Join(rec.fatal, r.store(ctx))
			}
			r.add(rec)
			if len(r.batch) < batchSize {
				continue
			}
			if err := r.store(ctx); err != nil {
				return err
			}
		}
	}
}

// add adds the account of a record to the batch. If the record is invalid, it reports all problems of the record.
func (r *run) add(rec record) {
	if rec.broken != "" {
		r.refuse(rec.line, rec.broken)
		return
	}
	account, errs := rec.account()
	for _, e := range r.accounts.Check(account) {
		errs.Append(e)
	}
	switch {
	case len(errs) > 0:
	case r.isTaken(account):
		r.refuse(rec.line, idTaken)
		return
	default:
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

// isTaken reports whether an account with another email in the batch has the id. So the first line with an id wins, because the
// database stores a batch in another order.
func (r *run) isTaken(a user.Import) bool {
	if a.ID == uuid.Nil {
		return false
	}
	key := user.EmailKey(user.TrimEmail(a.Email))
	first, found := r.ids[a.ID]
	if !found {
		r.ids[a.ID] = key
	}
	return found && first != key
}

func (r *run) refuse(line int, problems ...string) {
	r.counts.Refused++
	for _, problem := range problems {
		r.cfg.Refused(line, problem)
	}
}

// store stores the batch.
func (r *run) store(ctx context.Context) error {
	created, taken, err := r.accounts.Import(ctx, r.batch, r.cfg.DryRun)
	if ctx.Err() != nil {
		return ErrStopped
	}
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	for _, a := range r.batch {
		if a.PasswordHash == "" {
			r.counts.NoHash++
		}
	}
	r.counts.Created += created
	r.counts.Existing += len(r.batch) - created - len(taken)
	for _, i := range taken {
		r.refuse(r.lines[i], idTaken)
	}
	r.batch, r.lines = r.batch[:0], r.lines[:0]
	clear(r.ids)
	r.cfg.Stored(r.counts)
	return nil
}

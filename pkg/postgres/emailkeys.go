package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"user-service/pkg/user"
)

// emailKeysVersion is the version of the migration that makes the keys of emails and names anew. It is in Go, as the keys are.
const emailKeysVersion = 14

// emailKeys returns the migration. It can be run again after it was cut off, and beside replicas that serve. Its way back does nothing.
func emailKeys(log *slog.Logger) *goose.Migration {
	return goose.NewGoMigration(emailKeysVersion, &goose.GoFunc{
		RunDB: func(ctx context.Context, db *sql.DB) error { return (&rekeying{db, log}).run(ctx, time.Time{}) },
	}, &goose.GoFunc{RunDB: func(context.Context, *sql.DB) error { return nil }})
}

// rekeying makes the keys of all accounts anew.
type rekeying struct {
	db  *sql.DB
	log *slog.Logger
}

// keyed is an account whose keys are not those of today.
type keyed struct {
	id, email, emailKey, name, nameKey string
	verified                           bool
	created                            time.Time
}

// before reports whether a has the email rather than b: a verified one comes before others, and then the older one.
func (a keyed) before(b keyed) int {
	if a.verified != b.verified {
		if a.verified {
			return -1
		}
		return 1
	}
	return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.id, b.id))
}

// run begins with the accounts that get the keys that others want too.
func (r *rekeying) run(ctx context.Context, since time.Time) error {
	stale, err := r.stale(ctx, since)
	if err != nil {
		return fmt.Errorf("find the emails whose keys change: %w", err)
	}
	slices.SortFunc(stale, keyed.before)
	for i, a := range stale {
		if err := r.rekey(ctx, a.id); err != nil {
			return fmt.Errorf("change the key of the email of %s: %w", a.id, err)
		}
		if n := i + 1; n%1000 == 0 || n == len(stale) {
			r.log.InfoContext(ctx, "keys of emails changed", "accounts", n, "of", len(stale))
		}
	}
	return nil
}

// stale returns the accounts whose keys change, of those that were changed since a time. Emails and names in ASCII keep theirs,
// but for domains in A-labels.
func (r *rekeying) stale(ctx context.Context, since time.Time) (stale []keyed, err error) {
	rows, err := r.db.QueryContext(ctx, `
		SELECT id::text, email, email_key, coalesce(name, ''), coalesce(name_key, ''), email_verified, created_at FROM users
		WHERE updated_at >= $1 AND (email ~ '[^ -~]' OR name ~ '[^ -~]' OR email ~* '[@.]xn--')`, since)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var a keyed
		if err := rows.Scan(&a.id, &a.email, &a.emailKey, &a.name, &a.nameKey, &a.verified, &a.created); err != nil {
			return nil, err
		}
		if a.emailKey != user.EmailKey(a.email) || a.nameKey != user.Fold(a.name) {
			stale = append(stale, a)
		}
	}
	return stale, rows.Err()
}

// rekey changes the keys of an account, and what refers to them. If an account that comes before has the key, this one keeps its
// own. If one that comes after has it, that one gets a key that no email has.
func (r *rekeying) rekey(ctx context.Context, id string) error {
	tx, err := r.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, vanishedLimits); err != nil {
		return err
	}
	a := keyed{id: id} // as it is now: the email may have changed since it was found, or the account is erased
	err = tx.QueryRowContext(ctx, `
		SELECT email, email_key, coalesce(name, ''), email_verified, created_at FROM users WHERE id = $1 FOR UPDATE`, id).
		Scan(&a.email, &a.emailKey, &a.name, &a.verified, &a.created)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE users SET name_key = nullif($2, '') WHERE id = $1`, a.id, user.Fold(a.name)); err != nil {
		return err
	}
	key := user.EmailKey(a.email)
	var holder keyed
	err = tx.QueryRowContext(ctx, `SELECT id::text, email_verified, created_at FROM users WHERE email_key = $1 AND id <> $2 FOR UPDATE`,
		key, a.id).Scan(&holder.id, &holder.verified, &holder.created)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		err = moveKey(ctx, tx, a.id, a.emailKey, key)
	case err != nil:
	case a.before(holder) < 0:
		err = errors.Join(
			moveKey(ctx, tx, holder.id, key, key+" "+holder.id),
			moveKey(ctx, tx, a.id, a.emailKey, key),
			r.collide(ctx, tx, holder.id, a.id))
	default:
		err = r.collide(ctx, tx, a.id, holder.id)
	}
	if err != nil {
		return err
	}
	return tx.Commit()
}

// moveKey gives a locked account another key, and takes its one-time tokens and its counted failures along.
func moveKey(ctx context.Context, tx *sql.Tx, id, from, to string) error {
	if from == to {
		return nil
	}
	if _, err := tx.ExecContext(ctx, `UPDATE users SET email_key = $2 WHERE id = $1`, id, to); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx,
		`UPDATE one_time_tokens SET email_key = $3 WHERE user_id = $1 AND email_key = $2`, id, from, to); err != nil {
		return err
	}
	for _, counts := range []string{
		`INSERT INTO password_failures (subject_hash, network, failures, failed_at, blocked_until)
			SELECT $2, network, failures, failed_at, blocked_until FROM password_failures WHERE subject_hash = $1
			ON CONFLICT (subject_hash, network) DO NOTHING`,
		`INSERT INTO login_failures (email_hash, failures, failed_at, blocked_until)
			SELECT $2, failures, failed_at, blocked_until FROM login_failures WHERE email_hash = $1
			ON CONFLICT (email_hash) DO NOTHING`,
		`INSERT INTO token_mailboxes (email_hash, purpose, sent_at) SELECT $2, purpose, sent_at FROM token_mailboxes WHERE email_hash = $1`,
	} {
		if _, err := tx.ExecContext(ctx, counts, keyHash(from), keyHash(to)); err != nil {
			return err
		}
	}
	return nil
}

func (r *rekeying) collide(ctx context.Context, tx *sql.Tx, id, holder string) error {
	r.log.WarnContext(ctx, collisionMessage, "user_id", id, "holder_id", holder)
	_, err := tx.ExecContext(ctx, `INSERT INTO email_collisions (user_id, holder_id) VALUES ($1, $2) ON CONFLICT DO NOTHING`, id, holder)
	return err
}

const collisionMessage = "two accounts have the same email; the holder logs in with it, change the email of the other one"

// RekeyEmails makes the keys anew that a replica of an earlier version has stored since a time.
func (db *DB) RekeyEmails(ctx context.Context, since time.Time, log *slog.Logger) error {
	conns := stdlib.OpenDBFromPool(db.pool.conns)
	defer func() { _ = conns.Close() }() // not those of the pool
	return wrap("make keys of emails anew", (&rekeying{conns, log}).run(ctx, since))
}

// LogEmailCollisions logs which accounts have an email that another account holds, by their ids. Those whose email was
// changed are forgotten.
func (db *DB) LogEmailCollisions(ctx context.Context, log *slog.Logger) error {
	type collision struct{ ID, Holder, Email, Key string }
	all, err := collect(ctx, db.pool, pgx.RowToStructByPos[collision], `
		SELECT c.user_id::text, c.holder_id::text, u.email, u.email_key FROM email_collisions c JOIN users u ON u.id = c.user_id`)
	if err != nil {
		return wrap("read the collisions of emails", err)
	}
	var solved []string
	for _, c := range all {
		if c.Key == user.EmailKey(c.Email) {
			solved = append(solved, c.ID)
			continue
		}
		log.WarnContext(ctx, collisionMessage, "user_id", c.ID, "holder_id", c.Holder)
	}
	if len(solved) == 0 {
		return nil
	}
	return wrap("forget collisions of emails", db.pool.Exec(ctx, `DELETE FROM email_collisions WHERE user_id = ANY($1::uuid[])`, solved))
}

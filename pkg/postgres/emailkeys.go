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

// emailKeysVersion is the version of the migration that recomputes the keys of emails and names. The migration is in Go, because
// user.EmailKey and user.Fold are.
const emailKeysVersion = 14

// emailKeys returns the migration. It can be repeated after an interruption, and can run while replicas serve requests. Its down
// migration does nothing.
func emailKeys(log *slog.Logger) *goose.Migration {
	return goose.NewGoMigration(emailKeysVersion, &goose.GoFunc{
		RunDB: func(ctx context.Context, db *sql.DB) error { return (&keyMigration{db, log}).run(ctx, time.Time{}) },
	}, &goose.GoFunc{RunDB: func(context.Context, *sql.DB) error { return nil }})
}

// keyMigration recomputes the keys of the emails and names of accounts.
type keyMigration struct {
	db  *sql.DB
	log *slog.Logger
}

// keyedUser is an account with its stored keys.
type keyedUser struct {
	id, email, emailKey, name, nameKey string
	verified                           bool
	created                            time.Time
}

// compare returns a negative number if a has priority over b for the same email. A verified email has priority, then the older account.
func (a keyedUser) compare(b keyedUser) int {
	if a.verified != b.verified {
		if a.verified {
			return -1
		}
		return 1
	}
	return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.id, b.id))
}

// run recomputes the keys of the accounts that were updated at or after since. It begins with the accounts that have priority.
func (r *keyMigration) run(ctx context.Context, since time.Time) error {
	stale, err := r.findStale(ctx, since)
	if err != nil {
		return fmt.Errorf("find the accounts with outdated keys: %w", err)
	}
	slices.SortFunc(stale, keyedUser.compare)
	for i, a := range stale {
		if err := r.rekey(ctx, a.id); err != nil {
			return fmt.Errorf("recompute the keys of the account %s: %w", a.id, err)
		}
		if n := i + 1; n%1000 == 0 || n == len(stale) {
			r.log.InfoContext(ctx, "email keys recomputed", "accounts", n, "of", len(stale))
		}
	}
	return nil
}

// findStale returns the accounts that were updated at or after since and have outdated keys. It skips accounts whose email and name are
// in ASCII, because these keys do not change. It does not skip emails whose domains have A-labels.
func (r *keyMigration) findStale(ctx context.Context, since time.Time) (stale []keyedUser, err error) {
	rows, err := r.db.QueryContext(ctx, `
		SELECT id::text, email, email_key, coalesce(name, ''), coalesce(name_key, ''), email_verified, created_at FROM users
		WHERE updated_at >= $1 AND (email ~ '[^ -~]' OR name ~ '[^ -~]' OR email ~* '[@.]xn--')`, since)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var a keyedUser
		if err := rows.Scan(&a.id, &a.email, &a.emailKey, &a.name, &a.nameKey, &a.verified, &a.created); err != nil {
			return nil, err
		}
		if a.emailKey != user.EmailKey(a.email) || a.nameKey != user.Fold(a.name) {
			stale = append(stale, a)
		}
	}
	return stale, rows.Err()
}

// rekey recomputes the keys of an account, and updates the rows that refer to its email key. If another account already has the new email
// key, the account with priority gets this key. The account without priority keeps its old key, or gets a key that matches no email.
func (r *keyMigration) rekey(ctx context.Context, id string) error {
	tx, err := r.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, vanishedClientLimits); err != nil {
		return err
	}
	a := keyedUser{id: id} // the account is read again, because its email may have changed or it may have been erased
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
	var holder keyedUser
	err = tx.QueryRowContext(ctx, `SELECT id::text, email_verified, created_at FROM users WHERE email_key = $1 AND id <> $2 FOR UPDATE`,
		key, a.id).Scan(&holder.id, &holder.verified, &holder.created)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		err = moveKey(ctx, tx, a.id, a.emailKey, key)
	case err != nil:
	case a.compare(holder) < 0:
		err = errors.Join(
			moveKey(ctx, tx, holder.id, key, key+" "+holder.id),
			moveKey(ctx, tx, a.id, a.emailKey, key),
			r.recordCollision(ctx, tx, holder.id, a.id))
	default:
		err = r.recordCollision(ctx, tx, a.id, holder.id)
	}
	if err != nil {
		return err
	}
	return tx.Commit()
}

// moveKey changes the email key of a locked account and of its one-time tokens. It copies the login failures and the number of sent
// tokens to the new key.
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

// recordCollision logs and stores that the account id has the same email as holder.
func (r *keyMigration) recordCollision(ctx context.Context, tx *sql.Tx, id, holder string) error {
	r.log.WarnContext(ctx, collisionMessage, "user_id", id, "holder_id", holder)
	_, err := tx.ExecContext(ctx, `INSERT INTO email_collisions (user_id, holder_id) VALUES ($1, $2) ON CONFLICT DO NOTHING`, id, holder)
	return err
}

const collisionMessage = "two accounts have the same email; only the holder can log in with it: change the email of the other account"

// RekeyEmails recomputes the keys of the accounts that were updated at or after since: a replica of an earlier version may have stored
// outdated keys.
func (db *DB) RekeyEmails(ctx context.Context, since time.Time, log *slog.Logger) error {
	conns := stdlib.OpenDBFromPool(db.pool.conns)
	defer func() { _ = conns.Close() }() // does not close the pool
	return wrap("recompute the email keys", (&keyMigration{conns, log}).run(ctx, since))
}

// LogEmailCollisions logs the ids of accounts that have the same email as another account. It deletes the records of collisions that a
// change of the email has resolved.
func (db *DB) LogEmailCollisions(ctx context.Context, log *slog.Logger) error {
	type collision struct{ ID, Holder, Email, Key string }
	all, err := collect(ctx, db.pool, pgx.RowToStructByPos[collision], `
		SELECT c.user_id::text, c.holder_id::text, u.email, u.email_key FROM email_collisions c JOIN users u ON u.id = c.user_id`)
	if err != nil {
		return wrap("read the email collisions", err)
	}
	var resolved []string
	for _, c := range all {
		if c.Key == user.EmailKey(c.Email) {
			resolved = append(resolved, c.ID)
			continue
		}
		log.WarnContext(ctx, collisionMessage, "user_id", c.ID, "holder_id", c.Holder)
	}
	if len(resolved) == 0 {
		return nil
	}
	err = db.pool.Exec(ctx, `DELETE FROM email_collisions WHERE user_id = ANY($1::uuid[])`, resolved)
	return wrap("delete the resolved email collisions", err)
}

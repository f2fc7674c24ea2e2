package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"user-service/pkg/mail"
	"user-service/pkg/user"
)

const (
	cleanupLock     = 0x757365725f726561 // the key of the advisory lock that each batch takes, so that one replica at a time cleans up
	cleanupInterval = time.Minute
	// cleanupBatch is the maximum number of rows that one transaction deletes. The transaction takes a few milliseconds, so that requests
	// do not wait long for its locks.
	cleanupBatch = 1000
)

// Cleaner deletes expired rows. It also removes addresses and request ids from the audit entries of erased users that the erasure itself
// did not reach. Every replica runs a Cleaner; only one works at a time.
type Cleaner struct {
	DB             *DB
	AuditRetention time.Duration
	DataKeys       Resealer // nil: none
	Observer       CleanupObserver
	Log            *slog.Logger
}

// CleanupObserver receives the measurements of a Cleaner. Its methods must not block.
type CleanupObserver interface {
	// CleanupRows is called after each batch with the number of deleted rows.
	CleanupRows(table string, rows int64)
	// CleanupDone is called after each run. err is nil if the run succeeded, or if another replica was cleaning up.
	CleanupDone(err error)
}

// CleanedTables lists the tables from which a Cleaner deletes.
func CleanedTables() []string {
	return []string{
		"sessions", "one_time_tokens", "token_mailboxes", "login_failures", "password_failures", "login_networks", "idempotency_keys",
		"mails_sent",
		"factors", "login_challenges", "passkey_challenges", "audit_events",
	}
}

// Run cleans up about once a minute until ctx ends.
func (r *Cleaner) Run(ctx context.Context) error {
	for {
		wait := time.NewTimer(cleanupInterval/2 + rand.N(cleanupInterval)) //nolint:gosec // no secret
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil
		case <-wait.C:
		}
		err := r.Clean(ctx)
		if ctx.Err() == nil {
			r.Observer.CleanupDone(err)
		}
		if err != nil && ctx.Err() == nil {
			r.Log.Warn("expired rows could not be deleted; trying again in a minute", "error", err)
		}
	}
}

// Clean deletes all rows that have expired by the database's clock, in batches. It then scrubs the audit entries of erased users. It does
// nothing while another replica cleans up.
func (r *Cleaner) Clean(ctx context.Context) error {
	for _, table := range []struct {
		name, query string
		args        []any
	}{
		{"sessions", expired("sessions", `expires_at < now()`), nil},
		// Invalidated tokens stay for FreshTokenAge, because they count towards the limit of tokens.
		{
			"one_time_tokens", expired("one_time_tokens", `expires_at < now() AND created_at < now() - $1::interval`),
			[]any{user.FreshTokenAge},
		},
		{
			"token_mailboxes", expired("token_mailboxes", `sent_at < now() - $1::interval`),
			[]any{max(user.FreshTokenAge, mail.NoticeWindow)},
		},
		{"login_failures", expired("login_failures", `failed_at < now() - $1::interval`), []any{user.FailuresTTL}},
		{"password_failures", expired("password_failures", `failed_at < now() - $1::interval`), []any{user.FailuresTTL}},
		{"login_networks", expired("login_networks", `last_login_at < now() - $1::interval`), []any{user.NetworkTTL}},
		{"idempotency_keys", expired("idempotency_keys", `created_at < now() - $1::interval`), []any{user.IdempotencyTTL}},
		{"mails_sent", expired("mails_sent", `claimed_at < now() - $1::interval`), []any{mail.Retention}},
		{"factors", expired("factors", `confirmed_at IS NULL AND created_at < now() - $1::interval`), []any{user.UnconfirmedTTL}},
		{"login_challenges", expired("login_challenges", `expires_at < now()`), nil},
		{"passkey_challenges", expired("passkey_challenges", `expires_at < now()`), nil},
		{"audit_events", `SELECT delete_expired_audit_events($1::interval, $2::integer)`, []any{r.AuditRetention, cleanupBatch}},
	} {
		for rows := int64(cleanupBatch); rows == cleanupBatch; {
			var err error
			rows, err = r.batch(ctx, func(ctx context.Context, tx pgx.Tx) (deleted int64, err error) {
				return deleted, tx.QueryRow(ctx, table.query, table.args...).Scan(&deleted)
			})
			if err != nil {
				return fmt.Errorf("delete expired rows of %s: %w", table.name, err)
			}
			r.Observer.CleanupRows(table.name, rows)
		}
	}
	if err := r.reseal(ctx); err != nil {
		return fmt.Errorf("encrypt secrets with the current key: %w", err)
	}
	for users := int64(1); users > 0; {
		var err error
		if users, err = r.batch(ctx, scrubRemainingAudit); err != nil {
			return fmt.Errorf("scrub audit entries of erased users: %w", err)
		}
	}
	return nil
}

// expired returns a query that deletes up to cleanupBatch rows of the table, and returns their number. The query deletes rows that meet
// the condition and are not locked.
func expired(table, condition string) string {
	return fmt.Sprintf(`WITH deleted AS (
		DELETE FROM %s WHERE ctid = ANY(ARRAY(SELECT ctid FROM %[1]s WHERE %s LIMIT %d FOR UPDATE SKIP LOCKED)) RETURNING 1)
		SELECT count(*) FROM deleted`, table, condition, cleanupBatch)
}

// batch runs work in its own transaction, and returns the result of work. It does nothing while another replica cleans up.
func (r *Cleaner) batch(ctx context.Context, work func(context.Context, pgx.Tx) (int64, error)) (done int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err = r.DB.pool.inTx(ctx, beginCleanup, func(tx *transaction) error {
		var locked bool
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, int64(cleanupLock)).Scan(&locked); err != nil || !locked {
			return err
		}
		done, err = work(ctx, tx)
		return err
	})
	return done, err
}

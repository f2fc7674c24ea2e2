package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"user-service/pkg/user"
)

const (
	cleanupLock     = 0x757365725f726561 // the advisory lock of the one replica that cleans up
	cleanupInterval = time.Minute
	cleanupBatch    = 1000 // rows of one transaction: a few milliseconds, so that nobody waits for a lock
)

// Cleaner deletes what is over, so that nothing grows for ever, and what an erasure could not see. Every
// replica runs one; one of them works at a time.
type Cleaner struct {
	DB             *DB
	AuditRetention time.Duration
	Observer       CleanupObserver
	Log            *slog.Logger
}

// CleanupObserver is told how many rows of a table were deleted, and how a run ended. It must not block.
type CleanupObserver interface {
	CleanupRows(table string, rows int64)
	CleanupDone(err error) // a run is over; err is nil if nothing is left to delete
}

// CleanedTables lists the tables from which a Cleaner deletes.
func CleanedTables() []string {
	return []string{"sessions", "one_time_tokens", "token_mailboxes", "login_failures", "password_failures", "login_networks", "audit_events"}
}

// Run cleans up once a minute until ctx ends.
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
			r.Log.Warn("what is over could not be deleted; trying again in a minute", "error", err)
		}
	}
}

// Clean deletes all that is over by the database's clock, batch by batch, unless another replica does.
func (r *Cleaner) Clean(ctx context.Context) error {
	for _, table := range []struct {
		name, query string
		args        []any
	}{
		{"sessions", expired("sessions", `expires_at < now()`), nil},
		// Those that were voided count for as long as the limit of tokens looks back.
		{"one_time_tokens", expired("one_time_tokens", `expires_at < now() AND created_at < now() - $1::interval`), []any{user.FreshTokenAge}},
		{"token_mailboxes", expired("token_mailboxes", `sent_at < now() - $1::interval`), []any{user.FreshTokenAge}},
		{"login_failures", expired("login_failures", `failed_at < now() - $1::interval`), []any{user.FailuresTTL}},
		{"password_failures", expired("password_failures", `failed_at < now() - $1::interval`), []any{user.FailuresTTL}},
		{"login_networks", expired("login_networks", `last_login_at < now() - $1::interval`), []any{user.NetworkTTL}},
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
	for users := int64(erasureBatch); users == erasureBatch; {
		var err error
		if users, err = r.batch(ctx, scrubLateAuditEntries); err != nil {
			return fmt.Errorf("go over erasures: %w", err)
		}
	}
	return nil
}

// expired deletes rows that meet a condition, and counts them.
func expired(table, condition string) string {
	return fmt.Sprintf(`WITH deleted AS (
		DELETE FROM %s WHERE ctid = ANY(ARRAY(SELECT ctid FROM %[1]s WHERE %s LIMIT %d FOR UPDATE SKIP LOCKED)) RETURNING 1)
		SELECT count(*) FROM deleted`, table, condition, cleanupBatch)
}

// batch does work in a transaction of its own; it does nothing while another replica cleans up.
func (r *Cleaner) batch(ctx context.Context, work func(context.Context, pgx.Tx) (int64, error)) (done int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err = r.DB.pool.inTx(ctx, beginCleanup, func(tx *transaction) error {
		var mine bool
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, int64(cleanupLock)).Scan(&mine); err != nil || !mine {
			return err
		}
		done, err = work(ctx, tx)
		return err
	})
	return done, err
}

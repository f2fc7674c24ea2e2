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
	reapLock     = 0x757365725f726561 // the advisory lock of the one replica that reaps
	reapInterval = time.Minute
	reapBatch    = 1000 // rows of one transaction: a few milliseconds, so that nobody waits for a lock
)

// Reaper deletes what is over, so that nothing grows for ever, and what an erasure could not see. Every
// replica runs one; one of them works at a time.
type Reaper struct {
	DB             *DB
	AuditRetention time.Duration
	Observer       ReapObserver
	Log            *slog.Logger
}

// ReapObserver is told how many rows of a table were deleted, and how a run ended. It must not block.
type ReapObserver interface {
	Reaped(table string, rows int64)
	ReapDone(err error) // a run is over; err is nil if nothing is left to delete
}

// ReapedTables lists the tables from which a Reaper deletes.
func ReapedTables() []string {
	return []string{"sessions", "one_time_tokens", "token_mailboxes", "login_failures", "password_failures", "login_networks", "audit_events"}
}

// Run reaps once a minute until ctx ends.
func (r *Reaper) Run(ctx context.Context) error {
	for {
		wait := time.NewTimer(reapInterval/2 + rand.N(reapInterval)) //nolint:gosec // no secret
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil
		case <-wait.C:
		}
		err := r.Reap(ctx)
		if ctx.Err() == nil {
			r.Observer.ReapDone(err)
		}
		if err != nil && ctx.Err() == nil {
			r.Log.Warn("what is over could not be deleted; trying again in a minute", "error", err)
		}
	}
}

// Reap deletes all that is over by the database's clock, batch by batch, unless another replica does.
func (r *Reaper) Reap(ctx context.Context) error {
	for _, reap := range []struct {
		table, query string
		args         []any
	}{
		{"sessions", expired("sessions", `expires_at < now()`), nil},
		// Those that were voided count for as long as the limit of tokens looks back.
		{"one_time_tokens", expired("one_time_tokens", `expires_at < now() AND created_at < now() - $1::interval`), []any{user.FreshTokenAge}},
		{"token_mailboxes", expired("token_mailboxes", `sent_at < now() - $1::interval`), []any{user.FreshTokenAge}},
		{"login_failures", expired("login_failures", `failed_at < now() - $1::interval`), []any{user.FailuresTTL}},
		{"password_failures", expired("password_failures", `failed_at < now() - $1::interval`), []any{user.FailuresTTL}},
		{"login_networks", expired("login_networks", `last_login_at < now() - $1::interval`), []any{user.NetworkTTL}},
		{"audit_events", `SELECT delete_expired_audit_events($1::interval, $2::integer)`, []any{r.AuditRetention, reapBatch}},
	} {
		for rows := int64(reapBatch); rows == reapBatch; {
			var err error
			rows, err = r.batch(ctx, func(ctx context.Context, tx pgx.Tx) (deleted int64, err error) {
				return deleted, tx.QueryRow(ctx, reap.query, reap.args...).Scan(&deleted)
			})
			if err != nil {
				return fmt.Errorf("reap %s: %w", reap.table, err)
			}
			r.Observer.Reaped(reap.table, rows)
		}
	}
	for users := int64(erasureBatch); users == erasureBatch; {
		var err error
		if users, err = r.batch(ctx, forgetRacers); err != nil {
			return fmt.Errorf("go over erasures: %w", err)
		}
	}
	return nil
}

// expired deletes rows that meet a condition, and counts them.
func expired(table, condition string) string {
	return fmt.Sprintf(`WITH deleted AS (
		DELETE FROM %s WHERE ctid = ANY(ARRAY(SELECT ctid FROM %[1]s WHERE %s LIMIT %d FOR UPDATE SKIP LOCKED)) RETURNING 1)
		SELECT count(*) FROM deleted`, table, condition, reapBatch)
}

// batch does work in a transaction of its own; it does nothing while another replica reaps.
func (r *Reaper) batch(ctx context.Context, work func(context.Context, pgx.Tx) (int64, error)) (done int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err = r.DB.pool.inTx(ctx, beginReaper, func(tx pgx.Tx) error {
		var mine bool
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, int64(reapLock)).Scan(&mine); err != nil || !mine {
			return err
		}
		done, err = work(ctx, tx)
		return err
	})
	return done, err
}

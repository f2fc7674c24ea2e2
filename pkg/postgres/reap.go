package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
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

// Reap deletes all that is over now, batch by batch, unless another replica does.
func (r *Reaper) Reap(ctx context.Context) error {
	now := time.Now()
	for _, reap := range []struct {
		table, over string
		args        []any
	}{
		{"sessions", `expires_at < $1`, []any{now}},
		// Those that were voided count for as long as the limit of tokens looks back.
		{"one_time_tokens", `expires_at < $1 AND created_at < $2`, []any{now, now.Add(-user.FreshTokenAge)}},
		{"token_mailboxes", `sent_at < now() - $1::interval`, []any{user.FreshTokenAge}},
		{"login_failures", `failed_at < now() - $1::interval`, []any{user.FailuresTTL}},
		{"password_failures", `failed_at < now() - $1::interval`, []any{user.FailuresTTL}},
		{"login_networks", `last_login_at < now() - $1::interval`, []any{user.NetworkTTL}},
		{"audit_events", `id < $1`, []any{oldestID(now.Add(-r.AuditRetention))}},
	} {
		query := fmt.Sprintf(`DELETE FROM %s WHERE ctid = ANY(ARRAY(SELECT ctid FROM %[1]s WHERE %s LIMIT %d FOR UPDATE SKIP LOCKED))`,
			reap.table, reap.over, reapBatch)
		for rows := int64(reapBatch); rows == reapBatch; {
			var err error
			rows, err = r.batch(ctx, func(ctx context.Context, tx pgx.Tx) (int64, error) {
				tag, err := tx.Exec(ctx, query, reap.args...)
				return tag.RowsAffected(), err
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

// batch does work in a transaction of its own; it does nothing while another replica reaps.
func (r *Reaper) batch(ctx context.Context, work func(context.Context, pgx.Tx) (int64, error)) (done int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	err = pgx.BeginFunc(ctx, r.DB.pool, func(tx pgx.Tx) error {
		var mine bool
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, int64(reapLock)).Scan(&mine); err != nil || !mine {
			return err
		}
		done, err = work(ctx, tx)
		return err
	})
	return done, err
}

// oldestID returns the least UUIDv7 of a moment (RFC 9562 section 5.7), so that entries are found
// by their key.
func oldestID(at time.Time) uuid.UUID {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], uint64(max(at.UnixMilli(), 0))<<16)
	return id
}

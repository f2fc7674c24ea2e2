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

// Reaper deletes what is over, so that nothing grows for ever. Every replica runs one; one of them
// works at a time.
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
	return []string{"sessions", "one_time_tokens", "login_failures", "audit_events"}
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
	oldest := oldestID(time.Now().Add(-r.AuditRetention))
	forgotten := time.Now().Add(-user.ForgetFailures)
	for _, reap := range []struct {
		table, over string
		arg         any
	}{
		{"sessions", `SELECT ctid FROM sessions WHERE expires_at < $1`, time.Now()},
		{"one_time_tokens", `SELECT ctid FROM one_time_tokens WHERE expires_at < $1`, time.Now()},
		{"login_failures", `SELECT ctid FROM login_failures WHERE failed_at < $1`, forgotten},
		{"audit_events", `SELECT ctid FROM audit_events WHERE id < $1`, oldest},
	} {
		query := fmt.Sprintf(`DELETE FROM %s WHERE ctid = ANY(ARRAY(%s LIMIT %d FOR UPDATE SKIP LOCKED))`, reap.table, reap.over, reapBatch)
		for rows := int64(reapBatch); rows == reapBatch; {
			var err error
			if rows, err = r.batch(ctx, query, reap.arg); err != nil {
				return fmt.Errorf("reap %s: %w", reap.table, err)
			}
			r.Observer.Reaped(reap.table, rows)
		}
	}
	return nil
}

// batch runs one deletion; it deletes nothing while another replica reaps.
func (r *Reaper) batch(ctx context.Context, query string, arg any) (rows int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	err = pgx.BeginFunc(ctx, r.DB.pool, func(tx pgx.Tx) error {
		var mine bool
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, int64(reapLock)).Scan(&mine); err != nil || !mine {
			return err
		}
		tag, err := tx.Exec(ctx, query, arg)
		rows = tag.RowsAffected()
		return err
	})
	return rows, err
}

// oldestID returns the least UUIDv7 of a moment (RFC 9562 section 5.7), so that entries are found
// by their key.
func oldestID(at time.Time) uuid.UUID {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], uint64(max(at.UnixMilli(), 0))<<16)
	return id
}

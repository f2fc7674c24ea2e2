package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const (
	// erasureGrace is the time after an erasure in which requests that read the user before the erasure may still add audit entries. It
	// is many times the maximum time of a request.
	erasureGrace = time.Minute
	// scrubBatch is the maximum number of audit entries that one transaction scrubs. A user can have more entries than a request has time
	// to scrub: other people's failed logins with the user's email add entries too.
	scrubBatch = 1000
)

// queueErasure queues the statements that erase a user with its credential, roles, sessions, tokens and pending events. They skip events
// that the relay has locked, because the relay itself drops the events of erased users. They also record the erasure for the cleanup,
// which scrubs the audit entries beyond scrubBatch and the entries that concurrent requests still add.
func queueErasure(batch *pgx.Batch, id uuid.UUID) {
	batch.Queue(`DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE subject = $1 FOR UPDATE SKIP LOCKED)`, id)
	batch.Queue(`DELETE FROM users WHERE id = $1`, id)
	// An account with the same id may be imported and erased again before the cleanup.
	batch.Queue(`INSERT INTO erasures (user_id) VALUES ($1) ON CONFLICT (user_id) DO UPDATE SET erased_at = now()`, id)
	queueScrubAudit(batch, id)
}

// queueScrubAudit queues a statement that removes the address and the request id from up to scrubBatch audit entries by or about an
// erased user. The entry about the erasure keeps both if another user made it: they belong to that user. The SQL function has the
// privileges of the schema's owner, so that the service's role needs no UPDATE.
func queueScrubAudit(batch *pgx.Batch, id uuid.UUID) *pgx.QueuedQuery {
	return batch.Queue(`SELECT anonymize_audit_events($1::uuid, $2)`, id, scrubBatch)
}

// scrubRemainingAudit scrubs remaining audit entries of one erased user. When none is left, it deletes the record of the erasure. It
// returns the number of processed users, which is 0 if no erasure is old enough. It chooses the user at random: one user may have too
// many entries for a transaction, which makes the run of the cleanup fail. The next run must still reach other users.
func scrubRemainingAudit(ctx context.Context, tx pgx.Tx) (users int64, err error) {
	var id uuid.UUID
	err = tx.QueryRow(ctx, `
		SELECT user_id FROM erasures WHERE erased_at < now() - $1::interval ORDER BY random() LIMIT 1 FOR UPDATE SKIP LOCKED`,
		erasureGrace).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var scrubbed int
	var batch pgx.Batch
	queueScrubAudit(&batch, id).QueryRow(func(row pgx.Row) error { return row.Scan(&scrubbed) })
	// The record stays while entries are left that were skipped because another transaction had locked them. It is deleted if its id
	// belongs to a user again, after an import.
	batch.Queue(`
		DELETE FROM erasures WHERE user_id = $1 AND (EXISTS (SELECT FROM users WHERE id = $1) OR NOT EXISTS (
			SELECT FROM audit_events WHERE (ip IS NOT NULL OR request_id IS NOT NULL)
				AND (actor_id = $1 OR user_id = $1 AND action <> 'user_deleted')))`, id)
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil || scrubbed > 0 {
		return 1, err
	}
	_, err = tx.Exec(ctx, `UPDATE erasures SET erased_at = now() WHERE user_id = $1`, id) // retried after erasureGrace
	return 1, err
}

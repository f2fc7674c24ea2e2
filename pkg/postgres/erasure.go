package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const (
	// erasureGrace is the time after an erasure in which requests that read the user before may still write. It is many times the
	// maximum time of a request.
	erasureGrace = time.Minute
	// erasureBatch is the number of erasures whose audit entries one transaction scrubs.
	erasureBatch = 100
)

// queueErasure erases a user with its credential, roles, sessions, tokens and waiting events. It skips events that the relay has
// locked, because the relay drops the events of erased users. It records the erasure for the cleanup, because concurrent requests may
// still add entries to the audit trail.
func queueErasure(batch *pgx.Batch, id uuid.UUID) {
	batch.Queue(`DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE subject = $1 FOR UPDATE SKIP LOCKED)`, id)
	batch.Queue(`DELETE FROM users WHERE id = $1`, id)
	// An id may be imported and erased again before the cleanup.
	batch.Queue(`INSERT INTO erasures (user_id) VALUES ($1) ON CONFLICT (user_id) DO UPDATE SET erased_at = now()`, id)
	queueScrubAudit(batch, id)
}

// queueScrubAudit removes addresses and request ids from the audit entries by and about an erased user. An entry about the erasure by
// another user keeps them. The SQL function has the privileges of the schema's owner, so that the service's role needs no UPDATE.
func queueScrubAudit(batch *pgx.Batch, id uuid.UUID) {
	batch.Queue(`SELECT anonymize_audit_events($1::uuid)`, id)
}

// scrubLateAuditEntries scrubs audit entries that were added during an erasure. It handles up to erasureBatch users, and returns their
// number.
func scrubLateAuditEntries(ctx context.Context, tx pgx.Tx) (users int64, err error) {
	rows, err := tx.Query(ctx, `
		DELETE FROM erasures WHERE ctid = ANY(ARRAY(
			SELECT ctid FROM erasures WHERE erased_at < now() - $1::interval LIMIT $2 FOR UPDATE SKIP LOCKED))
		RETURNING user_id`, erasureGrace, erasureBatch)
	if err != nil {
		return 0, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return 0, err
	}
	var batch pgx.Batch
	for _, id := range ids {
		queueScrubAudit(&batch, id)
	}
	return int64(len(ids)), tx.SendBatch(ctx, &batch).Close()
}

package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const (
	// racing is how long after an erasure everything is over that has seen the user: many times what a request may take.
	racing = time.Minute
	// erasureBatch is how many erasures are gone over in one transaction.
	erasureBatch = 100
)

// queueErasure erases a user: credentials, roles, sessions, tokens and the events that wait go with it. Events that the
// relay has locked are not waited for: the relay drops what it finds later about a user who is gone. The erasure is noted
// for the cleanup, since what goes on at this moment may still add to the audit trail.
func queueErasure(batch *pgx.Batch, id uuid.UUID) {
	batch.Queue(`DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE subject = $1 FOR UPDATE SKIP LOCKED)`, id)
	batch.Queue(`DELETE FROM users WHERE id = $1`, id)
	// An id may be imported again, and erased again before the cleanup has been here.
	batch.Queue(`INSERT INTO erasures (user_id) VALUES ($1) ON CONFLICT (user_id) DO UPDATE SET erased_at = now()`, id)
	queueScrubAudit(batch, id)
}

// queueScrubAudit leaves ids only, in the audit trail, of a user who has no account any more. The function belongs to the
// owner of the schema: the service's role need not have the right to change entries.
func queueScrubAudit(batch *pgx.Batch, id uuid.UUID) {
	batch.Queue(`SELECT anonymize_audit_events($1::uuid)`, id)
}

// scrubLateAuditEntries takes out of the audit trail what was added to it while users were being erased, and returns of how
// many users.
func scrubLateAuditEntries(ctx context.Context, tx pgx.Tx) (users int64, err error) {
	rows, err := tx.Query(ctx, `
		DELETE FROM erasures WHERE ctid = ANY(ARRAY(
			SELECT ctid FROM erasures WHERE erased_at < now() - $1::interval LIMIT $2 FOR UPDATE SKIP LOCKED))
		RETURNING user_id`, racing, erasureBatch)
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

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
	// erasureBatch is the number of erasures whose audit entries one transaction of the cleanup scrubs.
	erasureBatch = 100
	// scrubBatch is the number of an erased user's audit entries that a transaction scrubs. Failed logins of others may have added many
	// more entries than a request has time for.
	scrubBatch = 1000
)

// queueErasure erases a user with its credential, roles, sessions, tokens and waiting events. It skips events that the relay has
// locked, because the relay drops the events of erased users. It records the erasure for the cleanup. The cleanup scrubs the audit
// entries beyond scrubBatch, and the entries that concurrent requests still add.
func queueErasure(batch *pgx.Batch, id uuid.UUID) {
	batch.Queue(`DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE subject = $1 FOR UPDATE SKIP LOCKED)`, id)
	batch.Queue(`DELETE FROM users WHERE id = $1`, id)
	// An id may be imported and erased again before the cleanup.
	batch.Queue(`INSERT INTO erasures (user_id) VALUES ($1) ON CONFLICT (user_id) DO UPDATE SET erased_at = now()`, id)
	queueScrubAudit(batch, id)
}

// queueScrubAudit removes addresses and request ids from up to scrubBatch audit entries by and about an erased user. An entry about the
// erasure by another user keeps them. The SQL function has the privileges of the schema's owner, so that the service's role needs no
// UPDATE.
func queueScrubAudit(batch *pgx.Batch, id uuid.UUID) *pgx.QueuedQuery {
	return batch.Queue(`SELECT anonymize_audit_events($1::uuid, $2)`, id, scrubBatch)
}

// scrubRemainingAudit scrubs audit entries that remained after an erasure, of up to erasureBatch users. It forgets the erasures without
// such entries. It returns erasureBatch if there is more to do.
func scrubRemainingAudit(ctx context.Context, tx pgx.Tx) (users int64, err error) {
	rows, err := tx.Query(ctx, `
		SELECT user_id FROM erasures WHERE erased_at < now() - $1::interval LIMIT $2 FOR UPDATE SKIP LOCKED`, erasureGrace, erasureBatch)
	if err != nil {
		return 0, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return 0, err
	}
	users = int64(len(ids))
	var done []string
	var batch pgx.Batch
	for _, id := range ids {
		queueScrubAudit(&batch, id).QueryRow(func(row pgx.Row) error {
			var scrubbed int
			err := row.Scan(&scrubbed)
			if scrubbed < scrubBatch {
				done = append(done, id.String())
			} else {
				users = erasureBatch
			}
			return err
		})
	}
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return 0, err
	}
	_, err = tx.Exec(ctx, `DELETE FROM erasures WHERE user_id = ANY($1::uuid[])`, done)
	return users, err
}

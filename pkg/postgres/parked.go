package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"user-service/pkg/outbox"
)

// ParkedEvents returns up to limit parked events whose position is above after, in the order of the outbox.
func (db *DB) ParkedEvents(ctx context.Context, after int64, limit int) ([]outbox.Parked, error) {
	events, err := collectPage(ctx, db.pool, func(row pgx.CollectableRow) (p outbox.Parked, err error) {
		err = row.Scan(&p.Position, &p.ID, &p.Type, &p.Subject, &p.Time, &p.Refusals, &p.ParkedAt, &p.RetryAt, &p.Reason, &p.Behind)
		return p, err
	}, `
		SELECT p.id, p.event_id, p.type, p.subject, p.occurred_at, p.refusals, p.parked_at, p.retry_at, coalesce(p.refusal, ''),
			(SELECT count(*) FROM outbox b WHERE b.subject = p.subject AND b.id > p.id)
		FROM outbox p WHERE p.refusals > 0 AND p.parked_at IS NOT NULL AND p.id > $1 ORDER BY p.id LIMIT $2`, after, limit)
	return events, wrap("list the parked events", err)
}

// RetryEvents makes every refused event due immediately, including parked events. It returns the number of these events. If an operator
// has deleted a refused event, the next event of the same user becomes due too. RetryEvents skips events that the relay has locked.
func (db *DB) RetryEvents(ctx context.Context) (events int64, err error) {
	err = db.pool.QueryRow(ctx, `
		WITH due AS (
			UPDATE outbox SET retry_at = now() WHERE id = ANY (ARRAY(
				SELECT o.id FROM outbox o WHERE o.retry_at > now()
					AND NOT EXISTS (SELECT FROM outbox e WHERE e.subject = o.subject AND e.retry_at IS NOT NULL AND e.id < o.id)
				ORDER BY o.id FOR UPDATE OF o SKIP LOCKED)) RETURNING 1)
		SELECT count(*) FROM due`).Scan(&events)
	return events, wrap("retry the refused events", err)
}

// ParkedCounts returns the number of parked events of each type. It counts at most 100,000 events.
func (db *DB) ParkedCounts(ctx context.Context) (map[string]int64, error) {
	type count struct {
		Type string
		N    int64
	}
	all, err := collect(ctx, db.pool, pgx.RowToStructByPos[count], `
		SELECT type, count(*)
		FROM (SELECT type FROM outbox WHERE refusals > 0 AND parked_at IS NOT NULL LIMIT 100000) AS parked
		GROUP BY type`)
	counts := make(map[string]int64, len(all))
	for _, c := range all {
		counts[c.Type] = c.N
	}
	return counts, wrap("count the parked events", err)
}

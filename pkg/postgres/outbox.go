package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/propagation"

	"user-service/pkg/event"
)

// queueEvents queues the statements that store the events of a change, with the trace context of the request.
func (tx *transaction) queueEvents(ctx context.Context, batch *pgx.Batch, events []event.Event) {
	for _, e := range events {
		batch.Queue(`
			INSERT INTO outbox (event_id, type, subject, sequence, occurred_at, traceparent, data)
			VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			e.ID, e.Type, e.Subject, e.UserVersion, e.Time, traceparent(ctx), string(e.Data)).Exec(tx.stored)
	}
}

// queueUserEvent queues a statement that stores an event with the current version of its user. If the user does not exist, the statement
// does the same work but stores nothing.
func (tx *transaction) queueUserEvent(ctx context.Context, batch *pgx.Batch, e event.Event) {
	if e.Type == "" {
		return
	}
	// The lock keeps this event in order with the events of changes, which lock the user too.
	batch.Queue(`
		INSERT INTO outbox (event_id, type, subject, sequence, occurred_at, traceparent, data)
		SELECT $1, $2, u.id, u.version, $4, $5, $6 FROM users u WHERE u.id = $3 FOR SHARE`,
		e.ID, e.Type, e.Subject, e.Time, traceparent(ctx), string(e.Data)).Exec(tx.stored)
}

// traceparent returns the W3C trace context of a request.
func traceparent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier.Get("traceparent")
}

// OutboxBacklog returns the number of unpublished events. It stops counting at 100,000: counting a million events takes half a second,
// which is too long for a scrape. It also returns the age of the oldest event that is neither parked nor blocked by a refused event.
func (db *DB) OutboxBacklog(ctx context.Context) (pending int64, oldest time.Duration, err error) {
	var seconds float64
	err = db.pool.QueryRow(ctx, `
		SELECT (SELECT count(*) FROM (SELECT FROM outbox LIMIT 100000) AS waiting),
			coalesce(extract(epoch FROM greatest(now() - least(
				(SELECT occurred_at FROM outbox WHERE retry_at IS NULL ORDER BY id LIMIT 1),
				(SELECT occurred_at FROM outbox WHERE refusals > 0 AND parked_at IS NULL
					ORDER BY id LIMIT 1)), interval '0')), 0)::float8`).
		Scan(&pending, &seconds)
	return pending, time.Duration(seconds * float64(time.Second)), wrap("read the backlog of the outbox", err)
}

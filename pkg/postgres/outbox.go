package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.opentelemetry.io/otel/propagation"

	"user-service/pkg/event"
)

// queueEvents stores events in the transaction of the change that they announce,
// with the trace context of the request.
func queueEvents(ctx context.Context, batch *pgx.Batch, events []event.Event) {
	for _, e := range events {
		batch.Queue(`
			INSERT INTO outbox (event_id, type, subject, sequence, occurred_at, traceparent, data)
			VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			e.ID, e.Type, e.Subject, e.UserVersion, e.Time, traceparent(ctx), string(e.Data))
	}
}

// queueUserEvent stores an event that changes no version: it carries the current one of its subject. Without
// such a user nothing is stored, after the same work, and done stays false.
func queueUserEvent(ctx context.Context, batch *pgx.Batch, e event.Event, done *bool) {
	if e.Type == "" {
		return
	}
	// The lock keeps the event in order with those of changes, which lock the user too.
	batch.Queue(`
		INSERT INTO outbox (event_id, type, subject, sequence, occurred_at, traceparent, data)
		SELECT $1, $2, u.id, u.version, $4, $5, $6 FROM users u WHERE u.id = $3 FOR SHARE`,
		e.ID, e.Type, e.Subject, e.Time, traceparent(ctx), string(e.Data)).
		Exec(func(tag pgconn.CommandTag) error {
			*done = tag.RowsAffected() > 0
			return nil
		})
}

// traceparent is the W3C trace context of the request.
func traceparent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier.Get("traceparent")
}

// OutboxBacklog returns how many events wait, as far as it counts, and how long the oldest has waited that is neither
// parked nor behind a refused one. To count a million takes half a second, which a scrape has no time for just when it matters.
func (db *DB) OutboxBacklog(ctx context.Context) (pending int64, oldest time.Duration, err error) {
	var seconds float64
	err = db.pool.QueryRow(ctx, `
		SELECT (SELECT count(*) FROM (SELECT FROM outbox LIMIT 100000) AS waiting),
			coalesce(extract(epoch FROM greatest(now() - least(
				(SELECT occurred_at FROM outbox WHERE retry_at IS NULL ORDER BY id LIMIT 1),
				(SELECT occurred_at FROM outbox WHERE refusals > 0 AND parked_at IS NULL ORDER BY id LIMIT 1)), interval '0')), 0)::float8`).
		Scan(&pending, &seconds)
	return pending, time.Duration(seconds * float64(time.Second)), wrap("look at the outbox", err)
}

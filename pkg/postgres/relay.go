package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"user-service/pkg/event"
	"user-service/pkg/outbox"
)

// relayLock is the key of the advisory lock of the relay that drains. The lock ends with the relay's transaction. So it works behind a
// pooler in transaction mode, and is released when the relay's process ends.
const relayLock = 0x757365725f6f7574

const (
	// relayIdleTimeout is the maximum time between two statements of the relay's transaction: between them, the relay waits for the
	// broker. After this time the server ends the session (idle_in_transaction_session_timeout).
	relayIdleTimeout = "9s"
	// relayTCPTimeout is the maximum time for which the relay may leave data unread or unacknowledged, in milliseconds. After this time
	// the server closes the connection (tcp_user_timeout). relayIdleTimeout does not apply while the server sends data.
	relayTCPTimeout = "5000"
	// relayLockTimeout is the maximum time for which a statement of the relay waits for a lock.
	relayLockTimeout = "3s"
	// releaseBatch is the maximum number of a user's deferred events that become due when an earlier refused event leaves the outbox.
	releaseBatch = 100
)

// errMayNotDelete is the error without the privilege to delete events. It is returned before any event is published.
var errMayNotDelete = errors.New("the database role may not delete from the table outbox; grant it DELETE")

// Drain implements outbox.Store.
func (db *DB) Drain(ctx context.Context, limits outbox.Limits, publish func(context.Context, []outbox.Waiting) []outbox.Outcome,
) (drained outbox.Drained, err error) {
	var b batch
	err = db.asRelay(ctx, func(queries *pgx.Batch) { queueOldest(queries, limits, &b) }, func(conn *pgxpool.Conn) error {
		if len(b.rows) == 0 {
			return nil
		}
		b.finish(publish(ctx, b.publishable()))
		drained, err = b.store(ctx, conn)
		return err
	})
	return drained, err
}

// Remove implements outbox.Store. It removes an event only if its id matches too. After a failover to a server that lacks the last
// commits, the position may belong to another event. Deferred events behind a removed event become due, as after a batch.
func (db *DB) Remove(ctx context.Context, published []outbox.Waiting) error {
	return db.asRelay(ctx, func(*pgx.Batch) {}, func(conn *pgxpool.Conn) error {
		positions, ids := make([]int64, len(published)), make([]string, len(published))
		subjects := make(map[string]bool)
		for i, w := range published {
			positions[i], ids[i] = w.Position, w.ID.String()
			subjects[w.Subject.String()] = true
		}
		var more bool // unused, because the caller drains next
		var queries pgx.Batch
		queries.Queue(`DELETE FROM outbox WHERE id = ANY($1::bigint[]) AND event_id = ANY($2::uuid[])`, positions, ids)
		queueRelease(&queries, slices.Collect(maps.Keys(subjects)), &more)
		queries.Queue(`COMMIT`)
		if err := conn.SendBatch(ctx, &queries).Close(); err != nil {
			return fmt.Errorf("remove published events: %w", err)
		}
		return nil
	})
}

// asRelay runs work in a transaction that holds relayLock. work must commit the transaction itself, in the round trip of its last
// statements. The statements that queue adds are sent in the same round trip as the statement that takes the lock. So they run even if
// another relay holds the lock, and must check the setting user_service.relay. Errors: outbox.ErrBusy, errMayNotDelete.
func (db *DB) asRelay(ctx context.Context, queue func(*pgx.Batch), work func(*pgxpool.Conn) error) (err error) {
	conn, err := db.pool.acquire(ctx)
	if err != nil {
		return fmt.Errorf("lock the outbox: %w", err)
	}
	defer func() { db.pool.release(conn, err) }() // closes a connection whose transaction has not ended
	if err = lockOutbox(ctx, conn, queue); err == nil {
		err = work(conn)
	}
	if conn.Conn().PgConn().TxStatus() != 'I' {
		_, _ = conn.Exec(ctx, `ROLLBACK`)
	}
	return err
}

// lockOutbox begins the transaction of a relay. It disables plans that read and sort the whole outbox, because the outbox grows and
// shrinks faster than its statistics change. It also disables JIT compilation, which the high costs of disabled plans would trigger.
// Errors: outbox.ErrBusy, errMayNotDelete.
func lockOutbox(ctx context.Context, conn *pgxpool.Conn, queue func(*pgx.Batch)) error {
	var locked, mayDelete bool
	var set string
	var queries pgx.Batch
	queries.Queue(`BEGIN`)
	queries.Queue(`
		SELECT set_config('user_service.relay', pg_try_advisory_xact_lock($1)::text, true)::boolean,
			has_table_privilege('outbox', 'DELETE'),
			set_config('idle_in_transaction_session_timeout', $2, true) || set_config('tcp_user_timeout', $3, true) ||
			set_config('lock_timeout', $4, true) ||
			set_config('enable_sort', 'off', true) || set_config('enable_bitmapscan', 'off', true) ||
			set_config('enable_seqscan', 'off', true) || set_config('jit', 'off', true)`,
		int64(relayLock), relayIdleTimeout, relayTCPTimeout, relayLockTimeout).
		QueryRow(func(row pgx.Row) error { return row.Scan(&locked, &mayDelete, &set) })
	queue(&queries)
	if err := conn.SendBatch(ctx, &queries).Close(); err != nil {
		return fmt.Errorf("lock and read the outbox: %w", err)
	}
	switch {
	case !locked:
		return outbox.ErrBusy
	case !mayDelete:
		return errMayNotDelete
	}
	return nil
}

// batchRow is an event of a batch.
type batchRow struct {
	outbox.Waiting

	deferred bool // The event was refused, or has waited behind a refused event.
	erased   bool // The user is erased, and the event is not user.deleted: it must not be published.
	blocked  bool // An earlier event of the user is deferred, and is not in the batch.
	outcome  outbox.Outcome
}

// batch is the part of the outbox that is published together.
type batch struct {
	rows []batchRow
	more bool // the outbox may hold more events that can be published now
}

// queueOldest queues the statements that read a batch into b and lock its rows. They lock the table first, because a row lock does not
// conflict with a table lock against DELETE, such as the lock of CREATE INDEX. Without its own table lock, the relay could publish events
// that it can't remove.
//
// The stored size of an event's data costs little to read, and is rarely above the size that is sent. So the query first selects events
// whose stored sizes fit into the limit. Then it reads the data of these events to measure the sizes that are sent.
//
// The relay drops all other events of an erased user, so none of these events blocks user.deleted.
func queueOldest(queries *pgx.Batch, limits outbox.Limits, b *batch) {
	queries.Queue(`LOCK TABLE outbox IN ROW EXCLUSIVE MODE`)
	// The query has no parameters, so that PostgreSQL plans it only once for each connection.
	queries.Queue(fmt.Sprintf(`
		WITH candidates AS MATERIALIZED (
			(SELECT id, data FROM outbox WHERE current_setting('user_service.relay')::boolean AND retry_at IS NULL ORDER BY id LIMIT %[1]d)
			UNION ALL
			(SELECT id, data FROM outbox WHERE current_setting('user_service.relay')::boolean AND retry_at <= now()
				ORDER BY retry_at, id LIMIT %[2]d)
			UNION ALL -- due later than the longest delay allows, because the clock was set back
			(SELECT id, data FROM outbox WHERE current_setting('user_service.relay')::boolean
				AND retry_at > now() + interval '%[5]d seconds'
				ORDER BY retry_at DESC LIMIT %[2]d)
		), sized AS (
			SELECT id, data, sum(pg_column_size(data)) OVER (ORDER BY id) - pg_column_size(data) AS before FROM candidates
		), measured AS (
			SELECT id, octet_length(data::text) AS bytes FROM sized WHERE before < %[3]d
		), picked AS MATERIALIZED (
			SELECT id FROM (SELECT id, sum(bytes) OVER (ORDER BY id) - bytes AS before FROM measured) AS m WHERE before < %[3]d
		)
		SELECT o.id, o.event_id, o.type, o.subject, o.sequence, o.occurred_at, o.traceparent, o.data::text, o.refusals,
			o.retry_at IS NOT NULL,
			o.type <> '%[4]s' AND (SELECT u.id FROM users u WHERE u.id = o.subject) IS NULL, -- NOT EXISTS would read all users
			EXISTS (SELECT FROM outbox e WHERE e.subject = o.subject AND e.id < o.id AND e.retry_at IS NOT NULL
				AND e.id <> ALL (ARRAY(SELECT id FROM picked))
				AND (e.type = '%[4]s' OR (SELECT u.id FROM users u WHERE u.id = o.subject) IS NOT NULL)),
			(SELECT count(*) FROM candidates)
		FROM outbox o WHERE o.id = ANY (ARRAY(SELECT id FROM picked)) ORDER BY o.id FOR UPDATE OF o`,
		limits.Events, limits.Retries, limits.Bytes, event.UserDeleted, int(outbox.BlockedRetry.Seconds()),
	)).Query(func(rows pgx.Rows) (err error) {
		*b, err = readBatch(rows, limits)
		return err
	})
}

func readBatch(rows pgx.Rows, limits outbox.Limits) (b batch, err error) {
	var r batchRow
	var data string
	var candidates, deferred int
	fields := []any{
		&r.Position, &r.ID, &r.Type, &r.Subject, &r.UserVersion, &r.Time, &r.Traceparent, &data, &r.Refusals,
		&r.deferred, &r.erased, &r.blocked, &candidates,
	}
	_, err = pgx.ForEachRow(rows, fields, func() error {
		r.Data = []byte(data)
		if r.deferred {
			deferred++
		}
		b.rows = append(b.rows, r)
		return nil
	})
	b.more = len(b.rows) < candidates || deferred == limits.Retries || len(b.rows)-deferred == limits.Events
	return b, err
}

// publishable returns the events of the batch that may be published now.
func (b batch) publishable() []outbox.Waiting {
	var out []outbox.Waiting
	for _, r := range b.rows {
		if !r.erased && !r.blocked {
			out = append(out, r.Waiting)
		}
	}
	return out
}

// finish sets the outcome of each event of the batch. outcomes has the outcomes of the publishable events, in the same order.
func (b batch) finish(outcomes []outbox.Outcome) {
	for i := range b.rows {
		switch r := &b.rows[i]; {
		case r.erased:
			r.outcome.Result = outbox.Confirmed // removed although it was not published
		case r.blocked:
			r.outcome = outbox.Outcome{Result: outbox.Blocked, Retry: outbox.BlockedRetry}
		default:
			r.outcome, outcomes = outcomes[0], outcomes[1:]
		}
	}
}

// store applies the outcomes and commits. It removes confirmed events, and defers refused and blocked events. Deferred events behind a
// confirmed event become due.
func (b batch) store(ctx context.Context, conn *pgxpool.Conn) (outbox.Drained, error) {
	drained := outbox.Drained{Taken: len(b.rows), More: b.more}
	var removed []int64
	var deletions, released []string
	var refusals deferrals
	for _, r := range b.rows {
		switch r.outcome.Result {
		case outbox.Confirmed:
			removed = append(removed, r.Position)
			if r.Type == event.UserDeleted {
				deletions = append(deletions, r.Subject.String())
			}
			if r.deferred {
				released = append(released, r.Subject.String())
			}
		case outbox.Refused, outbox.Blocked:
			refusals.add(r)
		case outbox.Unsent:
		}
	}
	drained.Removed, drained.Deferred = len(removed), len(refusals.positions)
	var queries pgx.Batch
	queueRemoval(&queries, removed, deletions)
	refusals.queue(&queries)
	queueRelease(&queries, released, &drained.More)
	if queries.Len() == 0 {
		return drained, nil
	}
	queries.Queue(`COMMIT`)
	if err := conn.SendBatch(ctx, &queries).Close(); err != nil {
		return drained, fmt.Errorf("remove published events: %w", err)
	}
	return drained, nil
}

// queueRemoval queues the statements that remove the events at these positions, and the remaining events of the erased users in
// deletions. The erasures of these users may have skipped events that the relay had locked.
func queueRemoval(queries *pgx.Batch, positions []int64, deletions []string) {
	if len(positions) > 0 {
		queries.Queue(`DELETE FROM outbox WHERE id = ANY($1::bigint[])`, positions)
	}
	if len(deletions) > 0 {
		queries.Queue(`
			DELETE FROM outbox WHERE subject = ANY($1::uuid[]) AND type <> $2 AND (SELECT u.id FROM users u WHERE u.id = subject) IS NULL`,
			deletions, event.UserDeleted)
	}
}

// deferrals holds the events to defer, one slice for each column of the update.
type deferrals struct {
	positions []int64
	refusals  []int32
	seconds   []float64
	reasons   []string
}

func (d *deferrals) add(r batchRow) {
	refusals := r.Refusals
	if r.outcome.Result == outbox.Refused {
		refusals++
	}
	d.positions = append(d.positions, r.Position)
	d.refusals = append(d.refusals, int32(refusals)) //nolint:gosec // an int32 is enough for a refusal every second for 68 years
	d.seconds = append(d.seconds, r.outcome.Retry.Seconds())
	d.reasons = append(d.reasons, r.outcome.Reason)
}

func (d *deferrals) queue(queries *pgx.Batch) {
	if len(d.positions) == 0 {
		return
	}
	queries.Queue(`
		UPDATE outbox o SET refusals = d.refusals, refusal = nullif(d.reason, ''),
			retry_at = clock_timestamp() + make_interval(secs => d.seconds),
			parked_at = CASE WHEN d.refusals >= $5 THEN coalesce(o.parked_at, clock_timestamp()) END
		FROM unnest($1::bigint[], $2::integer[], $3::float8[], $4::text[]) AS d (id, refusals, seconds, reason) WHERE o.id = d.id`,
		d.positions, d.refusals, d.seconds, d.reasons, outbox.MaxRefusals)
}

// queueRelease queues a statement that makes up to releaseBatch deferred events of each user due. It sets more to true if an event has
// become due.
func queueRelease(queries *pgx.Batch, subjects []string, more *bool) {
	if len(subjects) == 0 {
		return
	}
	queries.Queue(`
		UPDATE outbox SET retry_at = clock_timestamp() WHERE retry_at > now() AND refusals = 0 AND id = ANY (ARRAY(
			SELECT next.id FROM unnest($1::uuid[]) AS s (subject), LATERAL (
				SELECT o.id FROM outbox o WHERE o.subject = s.subject AND o.retry_at IS NOT NULL ORDER BY o.id LIMIT $2) AS next))`,
		subjects, releaseBatch).Exec(func(tag pgconn.CommandTag) error {
		*more = *more || tag.RowsAffected() > 0
		return nil
	})
}

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

// relayLock is the advisory lock of the one relay that drains. It ends with its
// transaction, so it works behind a pooler in transaction mode and dies with its owner.
const relayLock = 0x757365725f6f7574

const (
	// relaySilence is how long the relay's transaction may be silent, waiting for the broker,
	// before the server takes its owner for dead.
	relaySilence = "9s"
	// relayStall is how long the relay may leave the server's data unread or unacknowledged, in milliseconds,
	// before the server takes it for dead: relaySilence does not count while the server writes.
	relayStall = "5000"
	// relayPatience is how long a statement of the relay waits for a lock.
	relayPatience = "3s"
	// releaseBatch is how many deferred events of a user go on together when the refused one before them has ended.
	releaseBatch = 100
)

// errMayNotRemove is found before anything is published.
var errMayNotRemove = errors.New("the database role may not delete from the table outbox; grant it DELETE")

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

// Remove implements outbox.Store. It compares the events' ids too: after a failover to a server that lacks the last commits, a position may
// belong to another event. As after a batch, the events that waited behind a removed one become due.
func (db *DB) Remove(ctx context.Context, published []outbox.Waiting) error {
	return db.asRelay(ctx, func(*pgx.Batch) {}, func(conn *pgxpool.Conn) error {
		positions, ids := make([]int64, len(published)), make([]string, len(published))
		subjects := make(map[string]bool)
		for i, w := range published {
			positions[i], ids[i] = w.Position, w.ID.String()
			subjects[w.Subject.String()] = true
		}
		var more bool // unused: the caller drains next
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

// asRelay runs work in a transaction that no other relay has at the same time, which work commits with its last
// statements. What queue adds runs in the same round trip as the lock: while another relay has the lock too, so it has to
// look at the setting user_service.relay.
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

// lockOutbox begins a transaction of the one relay. In it the planner does without plans that read the whole outbox to
// sort it: the outbox grows and shrinks faster than the statistics about it. What is switched off costs so much that the
// rest would be compiled.
func lockOutbox(ctx context.Context, conn *pgxpool.Conn, queue func(*pgx.Batch)) error {
	var mine, removes bool
	var set string
	var queries pgx.Batch
	queries.Queue(`BEGIN`)
	queries.Queue(`
		SELECT set_config('user_service.relay', pg_try_advisory_xact_lock($1)::text, true)::boolean, has_table_privilege('outbox', 'DELETE'),
			set_config('idle_in_transaction_session_timeout', $2, true) || set_config('tcp_user_timeout', $3, true) ||
			set_config('lock_timeout', $4, true) ||
			set_config('enable_sort', 'off', true) || set_config('enable_bitmapscan', 'off', true) ||
			set_config('enable_seqscan', 'off', true) || set_config('jit', 'off', true)`,
		int64(relayLock), relaySilence, relayStall, relayPatience).QueryRow(func(row pgx.Row) error { return row.Scan(&mine, &removes, &set) })
	queue(&queries)
	if err := conn.SendBatch(ctx, &queries).Close(); err != nil {
		return fmt.Errorf("lock and read the outbox: %w", err)
	}
	switch {
	case !mine:
		return outbox.ErrBusy
	case !removes:
		return errMayNotRemove
	}
	return nil
}

// batchRow is an event of a batch.
type batchRow struct {
	outbox.Waiting

	deferred bool // it was refused, or has waited behind an event that was
	erased   bool // its user is erased, and it is not the deletion: nobody may get it any more
	blocked  bool // an earlier event of its user is deferred, and is not in the batch
	outcome  outbox.Outcome
}

// batch is the part of the outbox that is published now.
type batch struct {
	rows []batchRow
	more bool
}

// queueOldest reads a batch into b and locks its rows. The lock on the table comes first: that of the rows does not find out
// whether another session has locked the table against removals, as CREATE INDEX does.
//
// The stored size costs little to read, and is rarely above the size that is sent. Only what may fit is read to measure that.
//
// All events of an erased user are dropped, so none of them blocks the deletion.
func queueOldest(queries *pgx.Batch, limits outbox.Limits, b *batch) {
	queries.Queue(`LOCK TABLE outbox IN ROW EXCLUSIVE MODE`)
	// Without parameters the plan is made once for each connection.
	queries.Queue(fmt.Sprintf(`
		WITH candidates AS MATERIALIZED (
			(SELECT id, data FROM outbox WHERE current_setting('user_service.relay')::boolean AND retry_at IS NULL ORDER BY id LIMIT %[1]d)
			UNION ALL
			(SELECT id, data FROM outbox WHERE current_setting('user_service.relay')::boolean AND retry_at <= now()
				ORDER BY retry_at, id LIMIT %[2]d)
			UNION ALL -- later than the longest delay: the clock has been set back since
			(SELECT id, data FROM outbox WHERE current_setting('user_service.relay')::boolean AND retry_at > now() + interval '%[5]d seconds'
				ORDER BY retry_at DESC LIMIT %[2]d)
		), sized AS (
			SELECT id, data, sum(pg_column_size(data)) OVER (ORDER BY id) - pg_column_size(data) AS before FROM candidates
		), measured AS (
			SELECT id, octet_length(data::text) AS bytes FROM sized WHERE before < %[3]d
		), picked AS MATERIALIZED (
			SELECT id FROM (SELECT id, sum(bytes) OVER (ORDER BY id) - bytes AS before FROM measured) AS m WHERE before < %[3]d
		)
		SELECT o.id, o.event_id, o.type, o.subject, o.sequence, o.occurred_at, o.traceparent, o.data::text, o.refusals, o.retry_at IS NOT NULL,
			o.type <> '%[4]s' AND (SELECT u.id FROM users u WHERE u.id = o.subject) IS NULL, -- NOT EXISTS reads all users
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

// publishable returns the events that may be published now.
func (b batch) publishable() []outbox.Waiting {
	var out []outbox.Waiting
	for _, r := range b.rows {
		if !r.erased && !r.blocked {
			out = append(out, r.Waiting)
		}
	}
	return out
}

// finish notes what became of the events: those of publishable in their order, and the others.
func (b batch) finish(outcomes []outbox.Outcome) {
	for i := range b.rows {
		switch r := &b.rows[i]; {
		case r.erased:
			r.outcome.Result = outbox.Confirmed // nobody has it, and it is to be removed as if somebody had
		case r.blocked:
			r.outcome = outbox.Outcome{Result: outbox.Blocked, Retry: outbox.BlockedRetry}
		default:
			r.outcome, outcomes = outcomes[0], outcomes[1:]
		}
	}
}

// store commits what became of the events: it removes the confirmed events, defers the refused ones and those behind them, and
// releases what waited behind a deferred event that is confirmed.
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

// queueRemoval removes events, and all others about users whose deletion is among them: an erasure skips the events
// that the relay has locked.
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

// deferrals are columns of events that are to be tried later.
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
	d.refusals = append(d.refusals, int32(refusals)) //nolint:gosec // one a second for 68 years
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

// queueRelease makes the next deferred events of these users due, and sets more if there are any.
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

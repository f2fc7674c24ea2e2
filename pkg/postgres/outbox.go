package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.opentelemetry.io/otel/propagation"

	"user-service/pkg/event"
	"user-service/pkg/outbox"
	"user-service/pkg/user"
)

// relayLock is the advisory lock of the one relay that drains. It ends with its
// transaction, so it works behind a pooler in transaction mode and dies with its owner.
const relayLock = 0x757365725f6f7574

// relaySilence is how long the relay's transaction may be silent, waiting for the broker,
// before the server takes its owner for dead.
const relaySilence = "15s"

// queueEvents stores events in the transaction of the change that they announce,
// with the trace context of the request.
func queueEvents(ctx context.Context, batch *pgx.Batch, events []event.Event) {
	for _, e := range events {
		batch.Queue(`
			INSERT INTO outbox (event_id, type, subject, sequence, occurred_at, traceparent, data)
			VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			e.ID, e.Type, e.Subject, e.Sequence, e.Time, traceparent(ctx), string(e.Data))
	}
}

// announce stores an event that changes no version: it carries the current one of its subject. Without
// such a user nothing is stored, after the same work, and done stays false.
func announce(ctx context.Context, batch *pgx.Batch, e event.Event, done *bool) {
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

// Announce implements user.Store.
func (db *DB) Announce(ctx context.Context, after uuid.UUID, limit int, about func(user.User) (event.Event, error)) (users []user.User, err error) {
	err = db.inTx(ctx, "announce users", func(tx pgx.Tx) error {
		// Locked first and read after that: what a change has made that was waited for is seen.
		rows, err := tx.Query(ctx, `SELECT id::text FROM users WHERE id > $1 ORDER BY id LIMIT $2 FOR SHARE`, after, limit)
		if err != nil {
			return err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[string]) // as text: a list of UUIDs can't be sent behind a pooler with exec mode
		if err != nil {
			return err
		}
		if rows, err = tx.Query(ctx, `SELECT `+userColumns+` FROM users u WHERE u.id = ANY($1::uuid[]) ORDER BY u.id`, ids); err != nil {
			return err
		}
		users, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (user.User, error) { return scanUser(row) })
		if err != nil {
			return err
		}
		events := make([]event.Event, len(users))
		for i, u := range users {
			if events[i], err = about(u); err != nil {
				return err
			}
		}
		var batch pgx.Batch
		queueEvents(ctx, &batch, events)
		return tx.SendBatch(ctx, &batch).Close()
	})
	if err == nil && len(users) > 0 {
		db.committed()
	}
	return users, err
}

// traceparent is the W3C trace context of the request.
func traceparent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier.Get("traceparent")
}

// Drain implements outbox.Store.
func (db *DB) Drain(ctx context.Context, limit int, publish func(context.Context, []event.Event) []bool,
) (outbox.Drained, error) {
	var drained outbox.Drained
	err := pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		var mine bool
		var silence string
		if err := tx.QueryRow(ctx, `
			SELECT pg_try_advisory_xact_lock($1), set_config('idle_in_transaction_session_timeout', $2, true)`,
			int64(relayLock), relaySilence).Scan(&mine, &silence); err != nil {
			return fmt.Errorf("lock the outbox: %w", err)
		}
		if !mine {
			return outbox.ErrBusy
		}
		waiting, err := oldest(ctx, tx, limit)
		if err != nil || len(waiting.ids)+len(waiting.erased) == 0 {
			return err
		}
		drained.Taken = len(waiting.ids) + len(waiting.erased)
		done := append(confirmed(waiting.ids, publish(ctx, waiting.events)), waiting.erased...)
		if len(done) == 0 {
			return nil
		}
		if _, err := tx.Exec(ctx, `DELETE FROM outbox WHERE id = ANY($1::bigint[])`, done); err != nil {
			return fmt.Errorf("remove published events: %w", err)
		}
		drained.Removed = len(done)
		return nil
	})
	return drained, err
}

// backlog is the oldest part of the outbox.
type backlog struct {
	ids    []int64 // of events, one for each
	events []event.Event
	erased []int64 // ids of events about users who are erased, other than their deletion: nobody may get them any more
}

func oldest(ctx context.Context, tx pgx.Tx, limit int) (b backlog, err error) {
	rows, err := tx.Query(ctx, `
		SELECT o.id, o.event_id, o.type, o.subject, o.sequence, o.occurred_at, o.traceparent, o.data::text,
			o.type <> $2 AND (SELECT u.id FROM users u WHERE u.id = o.subject) IS NULL -- NOT EXISTS reads all users
		FROM outbox o ORDER BY o.id LIMIT $1`, limit, event.UserDeleted)
	if err != nil {
		return backlog{}, fmt.Errorf("read the outbox: %w", err)
	}
	var id int64
	var e event.Event
	var data string
	var erased bool
	_, err = pgx.ForEachRow(rows, []any{&id, &e.ID, &e.Type, &e.Subject, &e.Sequence, &e.Time, &e.Traceparent, &data, &erased},
		func() error {
			if erased {
				b.erased = append(b.erased, id)
				return nil
			}
			e.Data = []byte(data)
			b.ids, b.events = append(b.ids, id), append(b.events, e)
			return nil
		})
	if err != nil {
		return backlog{}, fmt.Errorf("read the outbox: %w", err)
	}
	return b, nil
}

func confirmed(ids []int64, published []bool) []int64 {
	var out []int64
	for i, ok := range published {
		if ok {
			out = append(out, ids[i])
		}
	}
	return out
}

// OutboxBacklog returns how many events wait, as far as it counts, and how long the oldest has waited. To
// count a million takes half a second, which a scrape has no time for just when it matters.
func (db *DB) OutboxBacklog(ctx context.Context) (pending int64, oldest time.Duration, err error) {
	var seconds float64
	err = db.pool.QueryRow(ctx, `
		SELECT (SELECT count(*) FROM (SELECT FROM outbox LIMIT 100000) AS waiting), coalesce((
			SELECT extract(epoch FROM greatest(now() - occurred_at, interval '0')) FROM outbox ORDER BY id LIMIT 1), 0)::float8`).Scan(&pending, &seconds)
	return pending, time.Duration(seconds * float64(time.Second)), failed("look at the outbox", err)
}

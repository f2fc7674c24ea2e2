package postgres

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/pkg/event"
	"user-service/pkg/user"
)

// AnnounceUsers implements user.Store.
func (db *DB) AnnounceUsers(
	ctx context.Context, a user.AnnounceRequest, about func(user.User) (event.Event, error),
) (done user.AnnounceResult, err error) {
	err = db.inTx(ctx, "announce users", func(tx *transaction) error {
		ids, err := lockPage(ctx, tx, a)
		if err != nil || len(ids) == 0 {
			return err
		}
		// The users are read in a separate statement, which sees the changes that lockPage has waited for.
		rows, err := tx.Query(ctx,
			`SELECT `+userColumns+` FROM users u WHERE u.id = ANY($1::uuid[]) AND u.updated_at >= $2 ORDER BY u.id`, ids, a.Since)
		if err != nil {
			return err
		}
		users, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (user.User, error) { return scanUser(row) })
		if err != nil {
			return err
		}
		events := make([]event.Event, len(users))
		for i, u := range users {
			if events[i], err = about(u); err != nil {
				return err
			}
		}
		done.Seen, done.Users = len(ids), len(users)
		if done.Last, err = uuid.Parse(ids[len(ids)-1]); err != nil {
			return err
		}
		var batch pgx.Batch
		tx.queueEvents(ctx, &batch, events)
		return tx.SendBatch(ctx, &batch).Close()
	})
	if err != nil {
		return user.AnnounceResult{}, err
	}
	return done, nil
}

// lockPage locks the next users of a request in the order of their ids, and returns these ids. The ids are text: in the exec mode that
// some poolers need, pgx can't send a list of UUIDs.
func lockPage(ctx context.Context, tx pgx.Tx, a user.AnnounceRequest) ([]string, error) {
	query, from := `SELECT id::text FROM users WHERE id > $1 ORDER BY id LIMIT $2 FOR SHARE`, a.After
	if a.User != uuid.Nil {
		query, from = `SELECT id::text FROM users WHERE id = $1 LIMIT $2 FOR SHARE`, a.User
	}
	rows, err := tx.Query(ctx, query, from, a.Limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// CountUsers implements user.Store.
func (db *DB) CountUsers(ctx context.Context, after uuid.UUID) (n int, err error) {
	err = db.pool.QueryRow(ctx, `SELECT count(*) FROM users WHERE id > $1`, after).Scan(&n)
	return n, wrap("count the users", err)
}

// ReadyEvents implements user.Store.
func (db *DB) ReadyEvents(ctx context.Context, limit int) (n int, err error) {
	err = db.pool.QueryRow(ctx, `SELECT count(*) FROM (SELECT FROM outbox WHERE retry_at IS NULL LIMIT $1) AS ready`, limit).Scan(&n)
	return n, wrap("count the ready events", err)
}

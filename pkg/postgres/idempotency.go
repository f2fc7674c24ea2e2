package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"

	"github.com/jackc/pgx/v5"

	"user-service/pkg/user"
)

// Completed implements user.Store.
func (db *DB) Completed(ctx context.Context, key user.IdempotencyHash) (done user.Completed, err error) {
	var response []byte
	err = db.pool.QueryRow(ctx, `
		SELECT body_mac, response::text FROM idempotency_keys WHERE key_hash = $1 AND created_at > now() - $2::interval`,
		key[:], user.IdempotencyTTL).Scan(&done.BodyMAC, &response)
	if err == nil {
		err = json.Unmarshal(response, &done.User)
	}
	return done, wrap("read a completed request", err)
}

// claimKey locks an idempotency key until the transaction ends. Errors: KeyInUse (another transaction has locked it), user.ErrCompleted.
func claimKey(ctx context.Context, tx pgx.Tx, key user.IdempotencyHash) error {
	var claimed, completed bool
	var batch pgx.Batch
	lock := int64(binary.BigEndian.Uint64(key[:])) //nolint:gosec // any 64 bits of the hash
	batch.Queue(`SELECT pg_try_advisory_xact_lock($1)`, lock).QueryRow(func(row pgx.Row) error { return row.Scan(&claimed) })
	// A separate statement, so that it sees the request of the transaction that held the lock before.
	batch.Queue(`SELECT EXISTS (SELECT FROM idempotency_keys WHERE key_hash = $1 AND created_at > now() - $2::interval)`,
		key[:], user.IdempotencyTTL).QueryRow(func(row pgx.Row) error { return row.Scan(&completed) })
	err := tx.SendBatch(ctx, &batch).Close()
	switch {
	case err != nil:
		return err
	case !claimed:
		return user.ErrKeyInUse()
	case completed:
		return user.ErrCompleted
	default:
		return nil
	}
}

// queueCompleted queues the statement that stores a completed request. It replaces a request that has expired.
func queueCompleted(batch *pgx.Batch, r user.Idempotency, u user.User) error {
	var response bytes.Buffer
	enc := json.NewEncoder(&response)
	enc.SetEscapeHTML(false) // otherwise the repeated response would differ in metadata
	if err := enc.Encode(u); err != nil {
		return err
	}
	batch.Queue(`
		INSERT INTO idempotency_keys (key_hash, body_mac, user_id, response, created_at) VALUES ($1, $2, $3, $4, now())
		ON CONFLICT (key_hash) DO UPDATE SET
			body_mac = excluded.body_mac, user_id = excluded.user_id, response = excluded.response, created_at = excluded.created_at`,
		r.Key[:], r.MACs[0], u.ID, response.String())
	return nil
}

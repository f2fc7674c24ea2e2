package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// KeysSince returns for each key id the time at which a replica first passed this id to KeysSince. The times are stored in the database,
// because replicas are replaced.
func (db *DB) KeysSince(ctx context.Context, ids []string) (map[string]time.Time, error) {
	return db.keys(ctx, ids, `
		WITH added AS (
			INSERT INTO token_keys (kid) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING RETURNING kid, first_used_at)
		SELECT kid, first_used_at FROM added UNION ALL SELECT kid, first_used_at FROM token_keys WHERE kid = ANY($1)`)
}

// FindKeys returns the same times as KeysSince, but only of the key ids that KeysSince has stored before. It stores nothing.
func (db *DB) FindKeys(ctx context.Context, ids []string) (map[string]time.Time, error) {
	return db.keys(ctx, ids, `SELECT kid, first_used_at FROM token_keys WHERE kid = ANY($1)`)
}

func (db *DB) keys(ctx context.Context, ids []string, query string) (map[string]time.Time, error) {
	type key struct {
		id string
		at time.Time
	}
	keys, err := collect(ctx, db.pool, func(row pgx.CollectableRow) (k key, err error) { return k, row.Scan(&k.id, &k.at) }, query, ids)
	since := make(map[string]time.Time, len(keys))
	for _, k := range keys {
		since[k.id] = k.at
	}
	return since, wrap("read the age of the keys", err)
}

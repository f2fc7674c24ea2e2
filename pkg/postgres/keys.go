package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// KeysSince returns when each of the keys with these ids was first asked for here, by whichever replica: replicas
// come and go, and only the database knows how old a key is.
func (db *DB) KeysSince(ctx context.Context, ids []string) (map[string]time.Time, error) {
	rows, err := db.pool.Query(ctx, `
		WITH added AS (
			INSERT INTO token_keys (kid) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING RETURNING kid, first_used_at)
		SELECT kid, first_used_at FROM added UNION ALL SELECT kid, first_used_at FROM token_keys WHERE kid = ANY($1)`, ids)
	if err != nil {
		return nil, failed("read the age of keys", err)
	}
	since := map[string]time.Time{}
	var id string
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &at}, func() error {
		since[id] = at
		return nil
	})
	return since, failed("read the age of keys", err)
}

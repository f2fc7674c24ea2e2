package postgres

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/pkg/factor"
)

// resealBatch is the maximum number of secrets that one transaction encrypts again. It is small, because the transaction locks the factors.
const resealBatch = 100

// Resealer encrypts secrets again with the current key.
type Resealer interface {
	Enabled() bool
	// CurrentID returns the id of the key that encrypts.
	CurrentID() string
	// OtherIDs returns the ids of the keys that only decrypt.
	OtherIDs() []string
	// Reseal encrypts the secret of a factor again with the current key.
	Reseal(userID, factorID uuid.UUID, secret factor.Sealed) (factor.Sealed, error)
}

// sealedFactor is a factor with an encrypted secret.
type sealedFactor struct {
	id, userID uuid.UUID
	secret     factor.Sealed
}

// reseal encrypts secrets again whose key is only accepted, with the current key. It visits each factor once, so a secret that can't be
// decrypted does not stop it.
func (r *Cleaner) reseal(ctx context.Context) error {
	if r.DataKeys == nil || !r.DataKeys.Enabled() || len(r.DataKeys.OtherIDs()) == 0 {
		return nil
	}
	var after uuid.UUID
	for rows := int64(resealBatch); rows == resealBatch; {
		var err error
		rows, err = r.batch(ctx, func(ctx context.Context, tx pgx.Tx) (int64, error) {
			last, n, err := r.resealAfter(ctx, tx, after)
			after = last
			return n, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// resealAfter encrypts the secrets of the next factors with an id above after. It returns the last id and the number of factors.
func (r *Cleaner) resealAfter(ctx context.Context, tx pgx.Tx, after uuid.UUID) (last uuid.UUID, n int64, err error) {
	rows, err := tx.Query(ctx, `
		SELECT id, user_id, secret, key_id FROM factors WHERE key_id = ANY($1::text[]) AND id > $2
		ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED`, r.DataKeys.OtherIDs(), after, resealBatch)
	if err != nil {
		return after, 0, err
	}
	factors, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (f sealedFactor, err error) {
		return f, row.Scan(&f.id, &f.userID, &f.secret.Data, &f.secret.KeyID)
	})
	if err != nil || len(factors) == 0 {
		return after, 0, err
	}
	var batch pgx.Batch
	for _, f := range factors {
		sealed, err := r.DataKeys.Reseal(f.userID, f.id, f.secret)
		if err != nil {
			r.Log.WarnContext(ctx, "the secret of a factor can't be decrypted", "factor_id", f.id, "error", err)
			continue
		}
		batch.Queue(`UPDATE factors SET secret = $2, key_id = $3 WHERE id = $1`, f.id, sealed.Data, sealed.KeyID)
	}
	return factors[len(factors)-1].id, int64(len(factors)), tx.SendBatch(ctx, &batch).Close()
}

// SecretsByKey returns the number of encrypted secrets by the id of their key.
func (db *DB) SecretsByKey(ctx context.Context) (map[string]int, error) {
	type count struct {
		id string
		n  int
	}
	counts, err := collect(ctx, db.pool, func(row pgx.CollectableRow) (c count, err error) { return c, row.Scan(&c.id, &c.n) },
		`SELECT key_id, count(*) FROM factors WHERE key_id IS NOT NULL GROUP BY key_id`)
	byKey := make(map[string]int, len(counts))
	for _, c := range counts {
		byKey[c.id] = c.n
	}
	return byKey, wrap("count the secrets by key", err)
}

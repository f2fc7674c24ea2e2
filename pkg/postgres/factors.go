package postgres

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype/zeronull"

	"user-service/pkg/factor"
	"user-service/pkg/user"
)

const factorColumns = `id, type, name, coalesce(secret, ''), coalesce(key_id, ''), last_step, created_at,
	confirmed_at IS NOT NULL, last_used_at, coalesce(challenge, ''), coalesce(credential_id, ''), coalesce(passkey::text, '')`

func scanFactor(row pgx.CollectableRow) (f user.Factor, err error) {
	var used zeronull.Timestamptz
	var passkey string
	err = row.Scan(&f.ID, &f.Type, &f.Name, &f.Secret.Data, &f.Secret.KeyID, &f.LastStep, &f.CreatedAt,
		&f.Confirmed, &used, &f.Challenge, &f.Passkey.ID, &passkey)
	f.Passkey.Record = json.RawMessage(passkey)
	f.CreatedAt = f.CreatedAt.UTC()
	if !time.Time(used).IsZero() {
		f.LastUsedAt = time.Time(used).UTC()
	}
	return f, err
}

func scanCodeHash(row pgx.CollectableRow) (hash factor.CodeHash, err error) {
	var raw []byte
	err = row.Scan(&raw)
	copy(hash[:], raw)
	return hash, err
}

// queueFactors queues the queries that read the factors of a user into f.
func queueFactors(batch *pgx.Batch, id uuid.UUID, f *user.Factors) {
	batch.Queue(`SELECT `+factorColumns+` FROM factors WHERE user_id = $1 ORDER BY id`, id).Query(into(&f.All, scanFactor))
	batch.Queue(`SELECT code_hash FROM recovery_codes WHERE user_id = $1`, id).Query(into(&f.RecoveryCodes, scanCodeHash))
	batch.Queue(`SELECT clock_timestamp()`).QueryRow(func(row pgx.Row) error { return row.Scan(&f.Now) })
}

// Factors implements user.Store.
func (db *DB) Factors(ctx context.Context, id uuid.UUID) (f user.Factors, err error) {
	err = db.pool.read(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		f = user.Factors{}
		var batch pgx.Batch
		batch.Queue(`SELECT 1 FROM users WHERE id = $1`, id).QueryRow(func(row pgx.Row) error { return row.Scan(new(int)) })
		queueFactors(&batch, id, &f)
		return conn.SendBatch(ctx, &batch).Close()
	})
	return f, wrap("list the factors of a user", err)
}

// LoginFactors implements user.Store.
func (db *DB) LoginFactors(ctx context.Context, id uuid.UUID) (f user.Factors, err error) {
	err = db.logins.read(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		f = user.Factors{}
		var batch pgx.Batch
		queueFactors(&batch, id, &f)
		return conn.SendBatch(ctx, &batch).Close()
	})
	return f, wrap("find the factors of a login", err)
}

// Factors implements user.Tx.
func (d decision) Factors(ctx context.Context, id uuid.UUID) (f user.Factors, err error) {
	var batch pgx.Batch
	queueFactors(&batch, id, &f)
	return f, d.tx.SendBatch(ctx, &batch).Close()
}

// queueFactorChange queues the statements that store a change of the factors of a locked user.
func queueFactorChange(batch *pgx.Batch, id uuid.UUID, change user.FactorChange) {
	if f := change.Add; f != nil {
		batch.Queue(`INSERT INTO factors (id, user_id, type, name, secret, key_id, challenge) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			f.ID, id, f.Type, f.Name, f.Secret.Data, zeronull.Text(f.Secret.KeyID), zeronull.Text(f.Challenge))
	}
	if f := change.Confirm; f != nil {
		batch.Queue(`
			UPDATE factors SET confirmed_at = clock_timestamp(), last_used_at = clock_timestamp(), last_step = $2, challenge = NULL,
				credential_id = nullif($3::bytea, ''), passkey = $4::json
			WHERE id = $1`, f.ID, f.LastStep, f.Passkey.ID, zeronull.Text(f.Passkey.Record))
	}
	if change.Remove != uuid.Nil {
		batch.Queue(`DELETE FROM factors WHERE id = $1 AND user_id = $2`, change.Remove, id)
	}
	if change.RemovePasskeys {
		batch.Queue(`DELETE FROM factors WHERE user_id = $1 AND type = $2`, id, factor.PasskeyType)
	}
	if change.RecoveryCodes != nil {
		batch.Queue(`DELETE FROM recovery_codes WHERE user_id = $1`, id)
		for _, hash := range change.RecoveryCodes {
			batch.Queue(`INSERT INTO recovery_codes (user_id, code_hash) VALUES ($1, $2)`, id, hash[:])
		}
	}
}

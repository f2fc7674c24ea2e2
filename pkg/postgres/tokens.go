package postgres

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/pkg/access"
	"user-service/pkg/user"
)

// validToken is the condition under which the token t of the user u is valid. The token must not have expired. The user must be active,
// and must still have the email to which the token was sent.
const validToken = `t.token_hash = $1 AND t.purpose = $2 AND t.expires_at > clock_timestamp() AND t.email_key = u.email_key
	AND u.status = 'active'`

// TokenHolder implements user.Store.
func (db *DB) TokenHolder(ctx context.Context, hash user.TokenHash, purpose user.Purpose) (user.User, error) {
	u, err := scanUser(db.pool.QueryRow(ctx, `
		SELECT `+userColumns+` FROM one_time_tokens t JOIN users u ON u.id = t.user_id WHERE `+validToken, hash[:], purpose))
	return u, wrap("find a one-time token", err)
}

// Redeem implements user.Store. It makes password attempts wait, so that an attempt that has already begun can't store again a count that
// Redeem has deleted. To avoid deadlocks, it locks the user before the token, as every change of a user does.
func (db *DB) Redeem(ctx context.Context, hash user.TokenHash, purpose user.Purpose, decide user.Decide) (user.User, error) {
	var id uuid.UUID
	var emailKey string
	if err := db.pool.QueryRow(ctx, `
		SELECT u.id, t.email_key FROM one_time_tokens t JOIN users u ON u.id = t.user_id WHERE `+validToken,
		hash[:], purpose).Scan(&id, &emailKey); err != nil {
		return user.User{}, wrap("find a one-time token", err)
	}
	return db.change(ctx, "redeem a one-time token", access.Internal(id), decide, func(tx pgx.Tx) error {
		if err := lockAttempts(ctx, tx, keyHash(emailKey), userHash(id)); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `SELECT 1 FROM users WHERE id = $1 FOR UPDATE`, id); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `
			DELETE FROM one_time_tokens t USING users u WHERE u.id = t.user_id AND `+validToken+` RETURNING u.id`,
			hash[:], purpose).Scan(&id)
	})
}

// queueInvalidateTokens queues a statement that makes the tokens of a user expire. It does not delete them, because they must still count
// towards the limit of tokens. Otherwise more tokens could be sent after each change of the email or the password. The cleanup deletes
// them later.
func queueInvalidateTokens(batch *pgx.Batch, id uuid.UUID, purposes ...user.Purpose) {
	batch.Queue(`UPDATE one_time_tokens SET expires_at = now() WHERE user_id = $1 AND purpose = ANY($2::text[]) AND expires_at > now()`,
		id, texts(purposes))
}

// texts returns values as strings, because pgx can't send a list of another type in the exec mode that some poolers need.
func texts[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}

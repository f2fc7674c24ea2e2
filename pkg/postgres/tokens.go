package postgres

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/pkg/access"
	"user-service/pkg/user"
)

// validToken is the condition on a token t of user u: it has not expired, the user is active, and has the email that the token was sent to.
const validToken = `t.token_hash = $1 AND t.purpose = $2 AND t.expires_at > clock_timestamp() AND t.email_key = u.email_key
	AND u.status = 'active'`

// TokenHolder implements user.Store.
func (db *DB) TokenHolder(ctx context.Context, hash user.TokenHash, purpose user.Purpose) (user.User, error) {
	u, err := scanUser(db.pool.QueryRow(ctx, `
		SELECT `+userColumns+` FROM one_time_tokens t JOIN users u ON u.id = t.user_id WHERE `+validToken, hash[:], purpose))
	return u, wrap("find a one-time token", err)
}

// Redeem implements user.Store. Attempts at the password wait until it has ended, so that one that was judged before does not
// store a count again that it clears. The user is locked before the token, as wherever a user is changed, so
// that the two can't wait for each other.
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

// queueInvalidateTokens ends the tokens of a user. They stay for the cleanup, and count until then: a change of the email or of the
// password is no way to have more of them sent.
func queueInvalidateTokens(batch *pgx.Batch, id uuid.UUID, purposes ...user.Purpose) {
	batch.Queue(`UPDATE one_time_tokens SET expires_at = now() WHERE user_id = $1 AND purpose = ANY($2::text[]) AND expires_at > now()`,
		id, texts(purposes))
}

// texts returns values as text: a list of another type can't be sent behind a pooler with exec mode.
func texts[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}

package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/pkg/mail"
)

// MailAccount implements mail.Store.
func (db *DB) MailAccount(ctx context.Context, id uuid.UUID) (a mail.Account, err error) {
	err = db.pool.QueryRow(ctx, `SELECT email, coalesce(locale, ''), created_at, now() FROM users WHERE id = $1`, id).
		Scan(&a.Email, &a.Locale, &a.Created, &a.Now)
	if errors.Is(err, pgx.ErrNoRows) {
		return mail.Account{}, mail.ErrNoAccount
	}
	return a, wrap("read an account for a mail", err)
}

// ClaimMail implements mail.Store. If the statement claims the mail but its result is lost, the claim becomes stale like the claim of a
// process that has ended.
func (db *DB) ClaimMail(ctx context.Context, event uuid.UUID, stale time.Duration) (mail.Claim, mail.ClaimState, error) {
	var claimed *time.Time
	var sent bool
	err := db.pool.QueryRow(ctx, `
		WITH claim AS (
			INSERT INTO mails_sent AS m (event_id) VALUES ($1)
			ON CONFLICT (event_id) DO UPDATE SET claimed_at = now() WHERE m.sent_at IS NULL AND m.claimed_at < now() - $2::interval
			RETURNING claimed_at)
		SELECT (SELECT claimed_at FROM claim), EXISTS (SELECT FROM mails_sent WHERE event_id = $1 AND sent_at IS NOT NULL)`,
		event, stale).Scan(&claimed, &sent)
	switch {
	case err != nil:
		return mail.Claim{}, 0, wrap("claim a mail", err)
	case claimed != nil:
		return mail.Claim{Event: event, At: *claimed}, mail.Claimed, nil
	case sent:
		return mail.Claim{}, mail.AlreadySent, nil
	default:
		return mail.Claim{}, mail.ClaimedElse, nil
	}
}

// MarkMailSent implements mail.Store.
func (db *DB) MarkMailSent(ctx context.Context, claim mail.Claim) error {
	return wrap("mark a mail as sent", db.pool.Exec(ctx, `UPDATE mails_sent SET sent_at = now() WHERE event_id = $1`, claim.Event))
}

// ReleaseMail implements mail.Store.
func (db *DB) ReleaseMail(ctx context.Context, claim mail.Claim) error {
	return wrap("release the claim of a mail", db.pool.Exec(ctx,
		`DELETE FROM mails_sent WHERE event_id = $1 AND claimed_at = $2 AND sent_at IS NULL`, claim.Event, claim.At))
}

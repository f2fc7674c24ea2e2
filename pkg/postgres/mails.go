package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/pkg/mail"
)

// noticePurpose stands for all kinds of notices in token_mailboxes.
const noticePurpose = "notice"

// MailAccount implements mail.Store.
func (db *DB) MailAccount(ctx context.Context, id uuid.UUID) (a mail.Account, err error) {
	err = db.pool.QueryRow(ctx, `
		SELECT email, email_verified, status <> 'active', coalesce(locale, ''), created_at, now() FROM users WHERE id = $1`, id).
		Scan(&a.Email, &a.Verified, &a.Disabled, &a.Locale, &a.Created, &a.Now)
	if errors.Is(err, pgx.ErrNoRows) {
		return mail.Account{}, mail.ErrNoAccount
	}
	return a, wrap("read an account for a mail", err)
}

// ClaimMail implements mail.Store. If the result of the statement is lost, the claim becomes stale, like the claim of a process that has
// died.
func (db *DB) ClaimMail(
	ctx context.Context, event uuid.UUID, notice string, stale time.Duration,
) (claim mail.Claim, state mail.ClaimState, err error) {
	err = db.inTx(ctx, "claim a mail", func(tx *transaction) error {
		var mailbox []byte
		if notice != "" {
			mailbox = emailHash(notice)
			if err := lockAttempts(ctx, tx, mailbox); err != nil { // so that the statement below sees all earlier claims
				return err
			}
		}
		var at *time.Time
		at, state, err = claimMail(ctx, tx, event, mailbox, stale)
		if at != nil {
			claim = mail.Claim{Event: event, Notice: notice, At: *at}
		}
		return err
	})
	return claim, state, err
}

// claimMail returns the time of a claim, and counts the claim for a mailbox, if it is not nil.
func claimMail(
	ctx context.Context, tx pgx.Tx, event uuid.UUID, mailbox []byte, stale time.Duration,
) (at *time.Time, _ mail.ClaimState, _ error) {
	var sent, limited bool
	err := tx.QueryRow(ctx, `
		WITH notices AS (
			SELECT count(*) >= $6 AS limited FROM token_mailboxes
			WHERE email_hash = $3::bytea AND purpose = $4 AND sent_at > now() - $5::interval),
		claim AS (
			INSERT INTO mails_sent AS m (event_id) SELECT $1 FROM notices WHERE NOT limited
			ON CONFLICT (event_id) DO UPDATE SET claimed_at = now() WHERE m.sent_at IS NULL AND m.claimed_at < now() - $2::interval
			RETURNING claimed_at),
		counted AS (
			INSERT INTO token_mailboxes (email_hash, purpose, sent_at) SELECT $3, $4, claimed_at FROM claim WHERE $3 IS NOT NULL)
		SELECT (SELECT claimed_at FROM claim), EXISTS (SELECT FROM mails_sent WHERE event_id = $1 AND sent_at IS NOT NULL), limited
		FROM notices`,
		event, stale, mailbox, noticePurpose, mail.NoticeWindow, mail.MaxNotices).Scan(&at, &sent, &limited)
	switch {
	case err != nil || at != nil:
		return at, mail.Claimed, err
	case sent:
		return nil, mail.AlreadySent, nil
	case limited:
		return nil, mail.Limited, nil
	default:
		return nil, mail.ClaimedElse, nil
	}
}

// MarkMailSent implements mail.Store.
func (db *DB) MarkMailSent(ctx context.Context, claim mail.Claim) error {
	return wrap("mark a mail as sent", db.pool.Exec(ctx, `UPDATE mails_sent SET sent_at = now() WHERE event_id = $1`, claim.Event))
}

// ReleaseMail implements mail.Store.
func (db *DB) ReleaseMail(ctx context.Context, claim mail.Claim) error {
	return wrap("release the claim of a mail", db.pool.Exec(ctx, `
		WITH released AS (
			DELETE FROM mails_sent WHERE event_id = $1 AND claimed_at = $2 AND sent_at IS NULL RETURNING claimed_at)
		DELETE FROM token_mailboxes WHERE email_hash = $3 AND purpose = $4 AND sent_at = (SELECT claimed_at FROM released)`,
		claim.Event, claim.At, emailHash(claim.Notice), noticePurpose))
}

package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/pkg/event"
	"user-service/pkg/user"
)

// allNetworks stands for the network where there is none.
var allNetworks = user.NetworkOf(netip.Addr{})

// emailHash is what failures of an email are stored by: no email of somebody without an account is stored.
func emailHash(email string) []byte { return keyHash(user.EmailKey(email)) }

// keyHash is the emailHash of an email that is folded.
func keyHash(emailKey string) []byte {
	sum := sha256.Sum256([]byte(emailKey))
	return sum[:]
}

// userHash is what failures of a user who enters the password again are stored by. It is of 16 bytes without an @, so
// that it is not that of an email.
func userHash(id uuid.UUID) []byte {
	sum := sha256.Sum256(id[:])
	return sum[:]
}

// subjectHash returns the subject that failures are stored by.
func subjectHash(a user.Attempt) []byte {
	if a.UserID != uuid.Nil {
		return userHash(a.UserID)
	}
	return emailHash(a.Email)
}

// networkOf returns the network that failures are stored by.
func networkOf(a user.Attempt) netip.Prefix {
	if a.UserID != uuid.Nil {
		return allNetworks
	}
	return a.Network
}

// attemptPool returns the connections for an attempt: those for logins alone, or those of the other requests.
func (db *DB) attemptPool(a user.Attempt) *pool {
	if a.UserID != uuid.Nil {
		return db.pool
	}
	return db.logins
}

// queueLock makes attempts with the same subject wait until the transaction ends, also where there is no row yet that
// could be locked.
func queueLock(batch *pgx.Batch, subject []byte) {
	batch.Queue(`SELECT pg_advisory_xact_lock($1)`, int64(binary.BigEndian.Uint64(subject))) //nolint:gosec // any 64 bits will do
}

func lockAttempts(ctx context.Context, tx pgx.Tx, subjects ...[]byte) error {
	var batch pgx.Batch
	for _, subject := range subjects {
		queueLock(&batch, subject)
	}
	return tx.SendBatch(ctx, &batch).Close()
}

// loginFailuresQuery reads the counts that have not expired. The clock is read once, and after a wait for the lock.
const loginFailuresQuery = `
	SELECT moment.now, coalesce(here.failures, 0), coalesce(here.blocked_until, 'epoch'),
		coalesce(total.failures, 0), coalesce(total.blocked_until, 'epoch'), u.id, known.user_id IS NOT NULL
	FROM (SELECT clock_timestamp() AS now) AS moment
	LEFT JOIN password_failures here ON here.subject_hash = $1 AND here.network = $2 AND here.failed_at > moment.now - $4::interval
	LEFT JOIN login_failures total ON total.email_hash = $1 AND total.failed_at > moment.now - $4::interval
	LEFT JOIN users u ON u.email_key = $3
	LEFT JOIN login_networks known ON known.user_id = u.id AND known.network = $2 AND known.last_login_at > moment.now - $5::interval`

func loginFailuresArgs(a user.Attempt) []any {
	return []any{subjectHash(a), networkOf(a), user.EmailKey(a.Email), user.FailuresTTL, user.NetworkTTL}
}

func scanLoginFailures(row pgx.Row, a user.Attempt) (g user.LoginFailures, err error) {
	var owner *uuid.UUID
	err = row.Scan(&g.Now, &g.Network.Count, &g.Network.BlockedUntil, &g.Total.Count, &g.Total.BlockedUntil, &owner, &g.Known)
	switch {
	case a.UserID != uuid.Nil:
		g.Known, g.UserID = true, a.UserID
	case owner != nil:
		g.UserID = *owner
	}
	return g, err
}

// LoginFailures implements user.Store.
func (db *DB) LoginFailures(ctx context.Context, a user.Attempt) (user.LoginFailures, error) {
	g, err := scanLoginFailures(db.attemptPool(a).QueryRow(ctx, loginFailuresQuery, loginFailuresArgs(a)...), a)
	return g, wrap("read the failures of logins", err)
}

// lockLoginFailures reads the counts after it has made other attempts wait.
func lockLoginFailures(ctx context.Context, tx pgx.Tx, a user.Attempt) (g user.LoginFailures, err error) {
	var batch pgx.Batch
	queueLock(&batch, subjectHash(a))
	batch.Queue(loginFailuresQuery, loginFailuresArgs(a)...).QueryRow(func(row pgx.Row) (err error) {
		g, err = scanLoginFailures(row, a)
		return err
	})
	return g, tx.SendBatch(ctx, &batch).Close()
}

// queueLoginFailures stores what the verdict makes of the counts. A success leaves the one of all networks as it is: who guesses
// elsewhere must not see it.
func queueLoginFailures(batch *pgx.Batch, a user.Attempt, verdict user.LoginDecision) {
	subject, network := subjectHash(a), networkOf(a)
	if verdict.Success {
		batch.Queue(`DELETE FROM password_failures WHERE subject_hash = $1 AND network = $2`, subject, network)
	}
	g := verdict.Failure
	if g == nil {
		return
	}
	batch.Queue(`
		INSERT INTO password_failures (subject_hash, network, failures, failed_at, blocked_until) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (subject_hash, network) DO UPDATE
		SET failures = excluded.failures, failed_at = excluded.failed_at, blocked_until = excluded.blocked_until`,
		subject, network, g.Network.Count, g.Now, g.Network.BlockedUntil)
	if a.UserID != uuid.Nil {
		return
	}
	batch.Queue(`
		INSERT INTO login_failures (email_hash, failures, failed_at, blocked_until) VALUES ($1, $2, $3, $4)
		ON CONFLICT (email_hash) DO UPDATE
		SET failures = excluded.failures, failed_at = excluded.failed_at, blocked_until = excluded.blocked_until`,
		subject, g.Total.Count, g.Now, g.Total.BlockedUntil)
}

// queueResetLoginFailures clears all counts of an account, in the order in which a failure stores them.
func queueResetLoginFailures(batch *pgx.Batch, u user.User) {
	batch.Queue(`DELETE FROM password_failures WHERE subject_hash IN ($1, $2)`, emailHash(u.Email), userHash(u.ID))
	batch.Queue(`DELETE FROM login_failures WHERE email_hash = $1`, emailHash(u.Email))
}

// queueNetwork makes a network a known one of a user, or one for longer.
func queueNetwork(batch *pgx.Batch, id uuid.UUID, network netip.Prefix) {
	batch.Queue(`
		INSERT INTO login_networks (user_id, network, first_login_at, last_login_at) VALUES ($1, $2, clock_timestamp(), clock_timestamp())
		ON CONFLICT (user_id, network) DO UPDATE SET last_login_at = excluded.last_login_at`, id, network)
	batch.Queue(`
		DELETE FROM login_networks WHERE user_id = $1 AND network IN (
			SELECT network FROM login_networks WHERE user_id = $1 ORDER BY last_login_at DESC, network OFFSET $2)`,
		id, user.MaxNetworks)
}

// queueLockedOut stores an event as queueUserEvent does, unless the user had one within user.LockedOutInterval.
func (tx *transaction) queueLockedOut(ctx context.Context, batch *pgx.Batch, e event.Event) {
	if e.Type == "" {
		return
	}
	batch.Queue(`
		WITH locked AS (SELECT id, version FROM users WHERE id = $3 FOR SHARE),
			due AS (UPDATE credentials c SET locked_out_at = $4 FROM locked
				WHERE c.user_id = locked.id AND (c.locked_out_at IS NULL OR c.locked_out_at <= $4::timestamptz - $7::interval) RETURNING c.user_id)
		INSERT INTO outbox (event_id, type, subject, sequence, occurred_at, traceparent, data)
		SELECT $1, $2, locked.id, locked.version, $4, $5, $6 FROM locked JOIN due ON due.user_id = locked.id`,
		e.ID, e.Type, e.Subject, e.Time, traceparent(ctx), string(e.Data), user.LockedOutInterval).Exec(tx.stored)
}

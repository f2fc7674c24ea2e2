package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/pkg/access"
	"user-service/pkg/event"
	"user-service/pkg/user"
)

// allNetworks is the network of attempts without an address, and of reauthentications.
var allNetworks = user.NetworkOf(netip.Addr{})

// emailHash returns the key under which the failures of an email are counted. The key is a hash, so that the database stores no emails
// without an account.
func emailHash(email string) []byte { return keyHash(user.EmailKey(email)) }

// keyHash returns the emailHash of the email that has this user.EmailKey.
func keyHash(emailKey string) []byte {
	sum := sha256.Sum256([]byte(emailKey))
	return sum[:]
}

// userHash returns the key under which the failed reauthentications of a user are counted.
func userHash(id uuid.UUID) []byte {
	sum := sha256.Sum256(id[:])
	return sum[:]
}

// subjectHash returns the key under which the failure of an attempt is counted.
func subjectHash(a user.Attempt) []byte {
	if a.UserID != uuid.Nil {
		return userHash(a.UserID)
	}
	return emailHash(a.Email)
}

// networkOf returns the network for which the failure of an attempt is counted.
func networkOf(a user.Attempt) netip.Prefix {
	if a.UserID != uuid.Nil {
		return allNetworks
	}
	return a.Network
}

// attemptPool returns the pool for an attempt. Logins have a pool that is reserved for them.
func (db *DB) attemptPool(a user.Attempt) *pool {
	if a.UserID != uuid.Nil {
		return db.pool
	}
	return db.logins
}

// queueLock queues a statement that locks a subject until the transaction ends, so that attempts with the same subject wait. The lock is
// an advisory lock, because the rows of the subject may not exist yet.
func queueLock(batch *pgx.Batch, subject []byte) {
	batch.Queue(`SELECT pg_advisory_xact_lock($1)`, int64(binary.BigEndian.Uint64(subject))) //nolint:gosec // any 64 bits will do
}

// lockAttempts locks these subjects until the transaction ends, so that attempts with one of them wait.
func lockAttempts(ctx context.Context, tx pgx.Tx, subjects ...[]byte) error {
	var batch pgx.Batch
	for _, subject := range subjects {
		queueLock(&batch, subject)
	}
	return tx.SendBatch(ctx, &batch).Close()
}

// loginFailuresQuery reads the counts that have not expired. It reads the clock once, after the lock has been granted.
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

func scanLoginFailures(row pgx.Row, a user.Attempt) (f user.LoginFailures, err error) {
	var owner *uuid.UUID
	err = row.Scan(&f.Now, &f.Network.Count, &f.Network.BlockedUntil, &f.Total.Count, &f.Total.BlockedUntil, &owner, &f.Known)
	switch {
	case a.UserID != uuid.Nil:
		f.Known, f.UserID = true, a.UserID
	case owner != nil:
		f.UserID = *owner
	}
	return f, err
}

// LoginFailures implements user.Store.
func (db *DB) LoginFailures(ctx context.Context, a user.Attempt) (user.LoginFailures, error) {
	f, err := scanLoginFailures(db.attemptPool(a).QueryRow(ctx, loginFailuresQuery, loginFailuresArgs(a)...), a)
	return f, wrap("read the login failures", err)
}

// lockLoginFailures locks the subject of an attempt, then reads its counts.
func lockLoginFailures(ctx context.Context, tx pgx.Tx, a user.Attempt) (f user.LoginFailures, err error) {
	var batch pgx.Batch
	queueLock(&batch, subjectHash(a))
	batch.Queue(loginFailuresQuery, loginFailuresArgs(a)...).QueryRow(func(row pgx.Row) (err error) {
		f, err = scanLoginFailures(row, a)
		return err
	})
	return f, tx.SendBatch(ctx, &batch).Close()
}

// queueLoginFailures queues the statements that store the counts after a decision. A success does not change the count of all networks
// together, because an attacker on another network could observe the change.
func queueLoginFailures(batch *pgx.Batch, a user.Attempt, decision user.LoginDecision) {
	subject, network := subjectHash(a), networkOf(a)
	if decision.Success {
		batch.Queue(`DELETE FROM password_failures WHERE subject_hash = $1 AND network = $2`, subject, network)
	}
	f := decision.Failure
	if f == nil {
		return
	}
	batch.Queue(`
		INSERT INTO password_failures (subject_hash, network, failures, failed_at, blocked_until) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (subject_hash, network) DO UPDATE
		SET failures = excluded.failures, failed_at = excluded.failed_at, blocked_until = excluded.blocked_until`,
		subject, network, f.Network.Count, f.Now, f.Network.BlockedUntil)
	if a.UserID != uuid.Nil {
		return
	}
	batch.Queue(`
		INSERT INTO login_failures (email_hash, failures, failed_at, blocked_until) VALUES ($1, $2, $3, $4)
		ON CONFLICT (email_hash) DO UPDATE
		SET failures = excluded.failures, failed_at = excluded.failed_at, blocked_until = excluded.blocked_until`,
		subject, f.Total.Count, f.Now, f.Total.BlockedUntil)
}

// queueResetLoginFailures queues the statements that delete all counts of an account. To avoid deadlocks, their order is that in which a
// failure stores the counts.
func queueResetLoginFailures(batch *pgx.Batch, u user.User) {
	batch.Queue(`DELETE FROM password_failures WHERE subject_hash IN ($1, $2)`, emailHash(u.Email), userHash(u.ID))
	batch.Queue(`DELETE FROM login_failures WHERE email_hash = $1`, emailHash(u.Email))
}

// Unlock implements user.Store. Without the locks, a concurrent attempt could store the old count again.
func (db *DB) Unlock(ctx context.Context, grant access.Grant, decide user.Decide) (user.User, error) {
	u, err := db.User(ctx, grant.Target())
	if err != nil {
		return user.User{}, err
	}
	return db.change(ctx, "clear the login failures", grant, decide, func(tx pgx.Tx) error {
		return lockAttempts(ctx, tx, emailHash(u.Email), userHash(u.ID))
	})
}

// queueNetwork queues the statements that record a login of a user from a network. From then on, this is a known network of the user. If
// the user has more than user.MaxNetworks known networks, the least recently used ones are deleted, unless known says that the network was
// known before.
func queueNetwork(batch *pgx.Batch, id uuid.UUID, network netip.Prefix, known bool) {
	batch.Queue(`
		INSERT INTO login_networks (user_id, network, first_login_at, last_login_at) VALUES ($1, $2, clock_timestamp(), clock_timestamp())
		ON CONFLICT (user_id, network) DO UPDATE SET last_login_at = excluded.last_login_at`, id, network)
	if known {
		return
	}
	batch.Queue(`
		DELETE FROM login_networks WHERE user_id = $1 AND network IN (
			SELECT network FROM login_networks WHERE user_id = $1 ORDER BY last_login_at DESC, network OFFSET $2)`,
		id, user.MaxNetworks)
}

// queueLockedOut queues a statement that stores an event as queueUserEvent does. If such an event was already stored for the user within
// user.LockedOutInterval, the statement stores nothing.
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

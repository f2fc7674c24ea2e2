package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"user-service/pkg/user"
)

// Credential implements user.Store.
func (db *DB) Credential(ctx context.Context, email string) (user.Credential, error) {
	cred, err := scanCredential(db.pool.QueryRow(ctx, `
		SELECT u.id, u.email, c.password_hash, coalesce(starts_with(c.password_hash, c.imported_prefix), false), c.changed_at, u.status
		FROM users u JOIN credentials c ON c.user_id = u.id
		WHERE u.email_key = $1`, user.Fold(email)))
	if errors.Is(err, pgx.ErrNoRows) {
		return user.Credential{}, nil
	}
	return cred, failed("read a credential by email", err)
}

// CredentialOf implements user.Store.
func (db *DB) CredentialOf(ctx context.Context, id uuid.UUID) (user.Credential, error) {
	cred, err := scanCredential(db.pool.QueryRow(ctx, `
		SELECT u.id, u.email, c.password_hash, coalesce(starts_with(c.password_hash, c.imported_prefix), false), c.changed_at, u.status
		FROM users u JOIN credentials c ON c.user_id = u.id
		WHERE u.id = $1`, id))
	return cred, failed("read a credential by id", err)
}

func scanCredential(row pgx.Row) (c user.Credential, err error) {
	err = row.Scan(&c.UserID, &c.Email, &c.PasswordHash, &c.Imported, &c.ChangedAt, &c.Status)
	return c, err
}

// Guesses implements user.Store.
func (db *DB) Guesses(ctx context.Context, email string) (user.Guesses, error) {
	g, err := scanGuesses(db.pool.QueryRow(ctx, guessesQuery, emailHash(email)))
	return g, failed("read failed logins", err)
}

// UpgradeHash implements user.Store.
func (db *DB) UpgradeHash(ctx context.Context, id uuid.UUID, old, upgraded string) error {
	_, err := db.pool.Exec(ctx, `UPDATE credentials SET password_hash = $3 WHERE user_id = $1 AND password_hash = $2`,
		id, old, upgraded)
	return failed("upgrade a password hash", err)
}

// Attempt implements user.Store. Attempts with one email wait for each other, whichever replica
// they reach; what is found by one is seen by the next.
func (db *DB) Attempt(ctx context.Context, email string, decide func(user.Guesses) (user.Verdict, error)) (user.Identity, error) {
	var identity user.Identity
	var announced bool
	var displaced int64
	hash := emailHash(email)
	err := db.inTx(ctx, "judge a login", func(tx pgx.Tx) error {
		guesses, err := lockGuesses(ctx, tx, hash)
		if err != nil {
			return err
		}
		verdict, err := decide(guesses)
		if err != nil {
			return err
		}
		var batch pgx.Batch // one way to the server and back: others may wait for this email
		if verdict.Session != nil {
			openSession(&batch, *verdict.Session, verdict.PasswordAt, &identity)
			makeRoom(&batch, *verdict.Session, &displaced)
		}
		// The user is locked before the failures, as wherever a user is changed.
		announce(ctx, &batch, verdict.Event, &announced)
		keepGuesses(&batch, hash, verdict.Guesses)
		if err := queueAudit(ctx, &batch, verdict.Audit...); err != nil {
			return err
		}
		if err := tx.SendBatch(ctx, &batch).Close(); err != nil || displaced == 0 {
			return err
		}
		return appendAudit(ctx, tx, user.Audit{Action: user.TokenRevoked, UserID: verdict.Session.UserID, Actor: verdict.Session.UserID})
	})
	if err == nil && announced {
		db.committed()
	}
	return identity, err
}

// emailHash is what failed logins are kept by: no email of somebody without an account is stored.
func emailHash(email string) []byte {
	sum := sha256.Sum256([]byte(user.Fold(email)))
	return sum[:]
}

// lockGuesses makes other attempts with the same email wait until the transaction ends, also
// where there is no row yet that could be locked.
func lockGuesses(ctx context.Context, tx pgx.Tx, hash []byte) (g user.Guesses, err error) {
	var batch pgx.Batch
	batch.Queue(`SELECT pg_advisory_xact_lock($1)`, int64(binary.BigEndian.Uint64(hash))) //nolint:gosec // any 64 bits will do
	batch.Queue(guessesQuery, hash).QueryRow(func(row pgx.Row) (err error) {
		g, err = scanGuesses(row)
		return err
	})
	return g, tx.SendBatch(ctx, &batch).Close()
}

const guessesQuery = `
	SELECT coalesce(max(failures), 0), coalesce(max(blocked_until), 'epoch'), clock_timestamp()
	FROM login_failures WHERE email_hash = $1`

func scanGuesses(row pgx.Row) (g user.Guesses, err error) {
	err = row.Scan(&g.InARow, &g.BlockedUntil, &g.Now)
	return g, err
}

func keepGuesses(batch *pgx.Batch, hash []byte, g user.Guesses) {
	if g.InARow == 0 {
		batch.Queue(`DELETE FROM login_failures WHERE email_hash = $1`, hash)
		return
	}
	batch.Queue(`
		INSERT INTO login_failures (email_hash, failures, failed_at, blocked_until) VALUES ($1, $2, $3, $4)
		ON CONFLICT (email_hash) DO UPDATE
		SET failures = excluded.failures, failed_at = excluded.failed_at, blocked_until = excluded.blocked_until`,
		hash, g.InARow, g.Now, g.BlockedUntil)
}

// openSession stores the session of a user that is active and whose password has not been changed
// since it was checked. The lock keeps both so until the session is there.
func openSession(batch *pgx.Batch, s user.Session, passwordAt time.Time, identity *user.Identity) {
	batch.Queue(`
		INSERT INTO sessions (id, user_id, counter, created_at, turned_at, expires_at, user_agent, ip)
		SELECT $1, u.id, $3, $4, $5, $6, $7, $8 FROM users u JOIN credentials c ON c.user_id = u.id
		WHERE u.id = $2 AND u.status = 'active' AND c.changed_at = $9 FOR SHARE`,
		s.ID, s.UserID, s.Counter, s.CreatedAt, s.TurnedAt, s.ExpiresAt, s.UserAgent, address(s.IP), passwordAt)
	batch.Queue(identifyQuery, s.UserID, s.ID).QueryRow(func(row pgx.Row) (err error) {
		*identity, err = scanIdentity(row) // no row if none was stored
		return err
	})
}

// makeRoom ends the sessions of a user beyond user.MaxSessions, those that were not used for longest. The one that was
// opened just now stays.
func makeRoom(batch *pgx.Batch, opened user.Session, ended *int64) {
	batch.Queue(`
		DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE user_id = $1 AND id <> $2 AND expires_at > now()
			ORDER BY turned_at DESC, id DESC OFFSET $3)`,
		opened.UserID, opened.ID, user.MaxSessions-1).
		Exec(func(tag pgconn.CommandTag) error {
			*ended = tag.RowsAffected()
			return nil
		})
}

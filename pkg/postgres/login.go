package postgres

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype/zeronull"

	"user-service/pkg/user"
)

// Credential implements user.Store.
func (db *DB) Credential(ctx context.Context, email string) (user.Credential, error) {
	cred, err := scanCredential(db.logins.QueryRow(ctx, `
		SELECT u.id, u.email, c.password_hash, coalesce(starts_with(c.password_hash, c.imported_prefix), false), c.changed_at, u.status
		FROM users u JOIN credentials c ON c.user_id = u.id
		WHERE u.email_key = $1`, user.EmailKey(email)))
	if errors.Is(err, pgx.ErrNoRows) {
		return user.Credential{}, nil
	}
	return cred, wrap("read a credential by email", err)
}

// CredentialOf implements user.Store.
func (db *DB) CredentialOf(ctx context.Context, id uuid.UUID) (user.Credential, error) {
	cred, err := scanCredential(db.pool.QueryRow(ctx, `
		SELECT u.id, u.email, c.password_hash, coalesce(starts_with(c.password_hash, c.imported_prefix), false), c.changed_at, u.status
		FROM users u JOIN credentials c ON c.user_id = u.id
		WHERE u.id = $1`, id))
	return cred, wrap("read a credential by id", err)
}

func scanCredential(row pgx.Row) (c user.Credential, err error) {
	err = row.Scan(&c.UserID, &c.Email, &c.PasswordHash, &c.Imported, &c.ChangedAt, &c.Status)
	return c, err
}

// UpgradeHash implements user.Store.
func (db *DB) UpgradeHash(ctx context.Context, id uuid.UUID, old, upgraded string) error {
	err := db.logins.Exec(ctx, `UPDATE credentials SET password_hash = $3 WHERE user_id = $1 AND password_hash = $2`,
		id, old, upgraded)
	return wrap("upgrade a password hash", err)
}

// RecordAttempt implements user.Store. It serializes the attempts for one email or user in all replicas, so that each attempt sees the
// failures of all earlier ones.
func (db *DB) RecordAttempt(
	ctx context.Context, a user.Attempt, decide func(user.LoginFailures) (user.LoginDecision, error),
) (user.Identity, error) {
	var identity user.Identity
	leave, err := db.attempts.Enter(ctx, string(subjectHash(a)))
	if err != nil {
		return user.Identity{}, err
	}
	defer leave()
	err = inTx(ctx, db.attemptPool(a), "record a login attempt", func(tx *transaction) error {
		failures, err := lockLoginFailures(ctx, tx, a)
		if err != nil {
			return err
		}
		decision, err := decide(failures)
		if err != nil {
			return err
		}
		if decision.Challenge != nil {
			if err := storeChallenge(ctx, tx, a, decision); err != nil {
				return err
			}
		}
		decision.Success = decision.Success && failures.Network.Count > 0 // otherwise there is no count to reset
		var batch pgx.Batch                                               // one round trip, because other attempts may wait for the lock
		if decision.Session != nil {
			checkLogin(&batch, a, decision)
		}
		identity, err = tx.storeAttempt(ctx, &batch, a, decision, failures.Known)
		return err
	})
	return identity, err
}

// storeAttempt sends a batch with the statements that store a decision. known means that the network is known already, so that it replaces
// no other network. storeAttempt returns the caller of the opened session.
func (tx *transaction) storeAttempt(
	ctx context.Context, batch *pgx.Batch, a user.Attempt, decision user.LoginDecision, known bool,
) (identity user.Identity, err error) {
	var evicted int64
	if decision.Session != nil {
		queueSession(batch, *decision.Session)
		queueIdentify(batch, *decision.Session, &identity)
		evictOldestSessions(batch, *decision.Session, &evicted)
	}
	// Every change of a user locks the user before the failures and networks.
	tx.queueUserEvent(ctx, batch, decision.Event)
	tx.queueLockedOut(ctx, batch, decision.LockedOut)
	queueLoginFailures(batch, a, decision)
	if decision.Session != nil {
		queueNetwork(batch, decision.Session.UserID, a.Network, known)
	}
	if err := queueAudit(ctx, batch, decision.Audit...); err != nil {
		return identity, err
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil || evicted == 0 {
		return identity, err
	}
	return identity, appendAudit(ctx, tx, user.Audit{
		Action: user.TokenRevoked, UserID: decision.Session.UserID, Actor: decision.Session.UserID,
		Detail: user.Detail{Sessions: evicted, Reason: user.ReasonTooManySessions},
	})
}

// checkLogin queues the statements that check a login with a password alone. They fail with pgx.ErrNoRows unless the user is active, still
// has the email and the password that the attempt verified, and has no second factor. Row locks keep these unchanged until the transaction
// ends. The factors are read after the lock, because the confirmation of a factor changes no row of these tables.
func checkLogin(batch *pgx.Batch, a user.Attempt, decision user.LoginDecision) {
	userID := decision.Session.UserID
	one := func(row pgx.Row) error { return row.Scan(new(int)) }
	batch.Queue(`
		SELECT 1 FROM users u JOIN credentials c ON c.user_id = u.id
		WHERE u.id = $1 AND u.status = 'active' AND c.changed_at = $2 AND u.email_key = $3 FOR SHARE`,
		userID, decision.PasswordAt, user.EmailKey(a.Email)).QueryRow(one)
	batch.Queue(`SELECT 1 WHERE NOT EXISTS (SELECT FROM factors WHERE user_id = $1 AND confirmed_at IS NOT NULL)`, userID).QueryRow(one)
}

// queueSession queues a statement that stores a session of a locked user. The session's times come from the database's clock.
func queueSession(batch *pgx.Batch, s user.Session) {
	batch.Queue(`
		INSERT INTO sessions (id, user_id, counter, created_at, turned_at, expires_at, user_agent, ip, amr, auth_time)
		VALUES ($1, $2, $3, now(), now(), now() + $4::interval, $5, $6, coalesce($7::text[], '{pwd}'), $8)`,
		s.ID, s.UserID, s.Counter, s.ExpiresAt.Sub(s.CreatedAt), s.UserAgent, address(s.IP), s.AMR, zeronull.Timestamptz(s.AuthTime))
}

// queueIdentify queues a query that reads the caller of a session into identity.
func queueIdentify(batch *pgx.Batch, s user.Session, identity *user.Identity) {
	batch.Queue(identifyQuery, s.UserID, s.ID).Query(func(rows pgx.Rows) (err error) {
		*identity, err = scanIdentity(rows)
		return err
	})
}

// evictOldestSessions queues a statement that ends the least recently used sessions of a user who has more than user.MaxSessions. It
// never ends the session opened. It sets ended to the number of ended sessions.
func evictOldestSessions(batch *pgx.Batch, opened user.Session, ended *int64) {
	batch.Queue(`
		DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE user_id = $1 AND id <> $2 AND expires_at > now()
			ORDER BY turned_at DESC, id DESC OFFSET $3)`,
		opened.UserID, opened.ID, user.MaxSessions-1).
		Exec(func(tag pgconn.CommandTag) error {
			*ended = tag.RowsAffected()
			return nil
		})
}

package postgres

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/pkg/access"
	"user-service/pkg/user"
)

// permissionsColumn selects all permissions that the user u has through roles.
const permissionsColumn = `ARRAY(SELECT DISTINCT p COLLATE "C"
	FROM user_roles ur JOIN roles r ON r.name = ur.role, unnest(r.permissions) p WHERE ur.user_id = u.id ORDER BY 1)`

// The columns of a caller select what counts in the session s, and what would count with a second factor. Every login with a second factor
// has the method mfa.
const (
	counts        = `(NOT r.second_factor OR 'mfa' = ANY(s.amr))`
	loginTime     = `coalesce(s.auth_time, s.created_at)`
	callerColumns = `
	ARRAY(SELECT DISTINCT p COLLATE "C" FROM user_roles ur JOIN roles r ON r.name = ur.role, unnest(r.permissions) p
		WHERE ur.user_id = u.id AND ` + counts + ` ORDER BY 1),
	ARRAY(SELECT r.name FROM user_roles ur JOIN roles r ON r.name = ur.role WHERE ur.user_id = u.id AND NOT ` + counts + `),
	ARRAY(SELECT DISTINCT p COLLATE "C" FROM user_roles ur JOIN roles r ON r.name = ur.role, unnest(r.permissions) p
		WHERE ur.user_id = u.id AND NOT ` + counts + `)`
)

// Identify implements user.Store.
func (db *DB) Identify(ctx context.Context, userID, sessionID uuid.UUID) (user.Identity, error) {
	id, err := identify(ctx, db.pool, userID, sessionID)
	return id, wrap("identify a caller", err)
}

// queryer is a pool or a transaction.
type queryer interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

var identifyQuery = `
	SELECT ` + userColumns + `, s.id, ` + loginTime + `, s.amr, ` + callerColumns + ` FROM users u JOIN sessions s ON s.user_id = u.id
	WHERE u.id = $1 AND u.status = 'active' AND s.id = $2 AND s.expires_at > clock_timestamp()`

func identify(ctx context.Context, q queryer, userID, sessionID uuid.UUID) (user.Identity, error) {
	return scanIdentity(q.QueryRow(ctx, identifyQuery, userID, sessionID))
}

// scanIdentity reads a caller, and more columns that follow the columns of the caller.
func scanIdentity(row pgx.Row, more ...any) (user.Identity, error) {
	var session uuid.UUID
	var authTime time.Time
	var amr []string
	var permissions []access.Permission
	var withheld access.Holder
	u, err := scanUser(row, append([]any{&session, &authTime, &amr, &permissions, &withheld.Roles, &withheld.Permissions}, more...)...)
	if err != nil {
		return user.Identity{}, err
	}
	return user.Identity{
		Caller: access.Caller{UserID: u.ID, SessionID: session, Roles: u.Roles, Permissions: permissions, Withheld: withheld},
		User:   u, AuthTime: authTime, AMR: amr,
	}, nil
}

// FindSession implements user.Store.
func (db *DB) FindSession(ctx context.Context, id uuid.UUID) (s user.Session, identity user.Identity, err error) {
	identity, err = scanIdentity(db.pool.QueryRow(ctx, `
		SELECT `+userColumns+`, s.id, `+loginTime+`, s.amr, `+callerColumns+`, s.counter, s.created_at, s.turned_at, s.expires_at
		FROM sessions s JOIN users u ON u.id = s.user_id
		WHERE s.id = $1 AND u.status = 'active' AND s.expires_at > clock_timestamp()`, id), &s.Counter, &s.CreatedAt, &s.RotatedAt, &s.ExpiresAt)
	s.ID, s.UserID, s.AuthTime = id, identity.UserID, identity.AuthTime
	return s, identity, wrap("find a session", err)
}

// OwnerOf implements user.Store.
func (db *DB) OwnerOf(ctx context.Context, session uuid.UUID) (owner uuid.UUID, err error) {
	err = db.pool.QueryRow(ctx, `SELECT user_id FROM sessions WHERE id = $1 AND expires_at > clock_timestamp()`, session).Scan(&owner)
	return owner, wrap("find the user of a session", err)
}

// RotateSession implements user.Store.
func (db *DB) RotateSession(
	ctx context.Context, id uuid.UUID, decide func(user.Session, time.Time) user.Rotation,
) (identity user.Identity, rotation user.Rotation, err error) {
	leave, err := db.sessions.Enter(ctx, id)
	if err != nil {
		return identity, rotation, err
	}
	defer leave()
	err = db.inTx(ctx, "rotate a session", func(tx *transaction) error {
		s, now, err := lockSession(ctx, tx, id)
		if err != nil {
			return err
		}
		switch rotation = decide(s, now); rotation.Outcome {
		case user.Reused:
			return endRotated(ctx, tx, s, user.TokenReused)
		case user.Expired:
			return endRotated(ctx, tx, s, user.SessionUsedAfterEnd)
		case user.Rotated:
			if err := storeRotation(ctx, tx, rotation.Session); err != nil {
				return err
			}
		}
		identity, err = identify(ctx, tx, s.UserID, id)
		return err
	})
	return identity, rotation, err
}

// endRotated deletes a session because its refresh token was used before or has expired. reason is the action of the audit entry.
func endRotated(ctx context.Context, tx pgx.Tx, s user.Session, reason user.Action) error {
	if _, err := tx.Exec(ctx, `DELETE FROM sessions WHERE id = $1`, s.ID); err != nil {
		return err
	}
	return appendAudit(ctx, tx, user.Audit{Action: reason, UserID: s.UserID, Detail: user.Detail{SessionID: s.ID}})
}

func storeRotation(ctx context.Context, tx pgx.Tx, s user.Session) error {
	_, err := tx.Exec(ctx, `UPDATE sessions SET counter = $2, turned_at = $3, expires_at = $4, user_agent = $5, ip = $6 WHERE id = $1`,
		s.ID, s.Counter, s.RotatedAt, s.ExpiresAt, s.UserAgent, address(s.IP))
	return err
}

// lockSession locks a session, then reads the session and the database's time. It uses two statements, because a statement that waits for
// a lock may already have read the time before its wait.
func lockSession(ctx context.Context, tx pgx.Tx, id uuid.UUID) (s user.Session, now time.Time, err error) {
	s.ID = id
	var batch pgx.Batch
	batch.Queue(`SELECT 1 FROM sessions WHERE id = $1 FOR NO KEY UPDATE`, id) // does not conflict with FOR KEY SHARE of queueGrant
	batch.Queue(`SELECT user_id, counter, created_at, turned_at, expires_at, clock_timestamp() FROM sessions WHERE id = $1`, id).
		QueryRow(func(row pgx.Row) error {
			return row.Scan(&s.UserID, &s.Counter, &s.CreatedAt, &s.RotatedAt, &s.ExpiresAt, &now)
		})
	err = tx.SendBatch(ctx, &batch).Close()
	return s, now, err
}

// EndSessionOfToken implements user.Store.
func (db *DB) EndSessionOfToken(ctx context.Context, id uuid.UUID) error {
	leave, err := db.logouts.Enter(ctx, id)
	if err != nil {
		return err
	}
	defer leave()
	if _, err := db.OwnerOf(ctx, id); err != nil { // so that tokens of ended sessions begin no transactions, however many there are
		var known *user.Error
		if errors.As(err, &known) && known.Code == user.NotFound {
			return nil
		}
		return err
	}
	return db.inTx(ctx, "end a session", func(tx *transaction) error {
		var owner uuid.UUID
		err := tx.QueryRow(ctx, `DELETE FROM sessions WHERE id = $1 RETURNING user_id`, id).Scan(&owner)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		return appendAudit(ctx, tx, user.Audit{Action: user.TokenRevoked, UserID: owner, Actor: owner, Detail: user.Detail{SessionID: id}})
	})
}

// EndSession implements user.Store. A logout locks only the session and not the account, so that it does not wait for changes of the
// account.
func (db *DB) EndSession(ctx context.Context, grant access.Grant, sessionID uuid.UUID) error {
	if grant.Self() && !isLogout(grant, sessionID) { // so that many requests with unknown ids do not fill the queue
		if err := db.hasSession(ctx, grant.Target(), sessionID); err != nil {
			return err
		}
	}
	if !isLogout(grant, sessionID) {
		leave, err := db.accounts.Enter(ctx, endOf(grant))
		if err != nil {
			return err
		}
		defer leave()
	}
	return db.inTx(ctx, "end a session", func(tx *transaction) error {
		if err := lockForEnd(ctx, tx, grant, sessionID); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `DELETE FROM sessions WHERE id = $1 AND user_id = $2`, sessionID, grant.Target())
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return pgx.ErrNoRows
		}
		return appendAudit(ctx, tx, user.Audit{
			Action: user.TokenRevoked, UserID: grant.Target(), Detail: user.Detail{SessionID: sessionID},
		})
	})
}

// isLogout reports whether the session is the caller's own.
func isLogout(grant access.Grant, sessionID uuid.UUID) bool {
	return grant.Self() && sessionID == grant.Caller().SessionID
}

func (db *DB) hasSession(ctx context.Context, userID, sessionID uuid.UUID) error {
	err := db.pool.QueryRow(ctx, `SELECT id FROM sessions WHERE id = $1 AND user_id = $2`, sessionID, userID).Scan(&sessionID)
	return wrap("find a session", err)
}

// lockForEnd checks the grant to end a session. For a logout it locks the session, otherwise the target of the grant.
func lockForEnd(ctx context.Context, tx pgx.Tx, grant access.Grant, sessionID uuid.UUID) error {
	if isLogout(grant, sessionID) {
		if _, err := tx.Exec(ctx, `SELECT 1 FROM sessions WHERE id = $1 FOR UPDATE`, sessionID); err != nil {
			return err
		}
		return checkGrant(ctx, tx, grant)
	}
	_, err := lockTarget(ctx, tx, grant)
	return err
}

// EndSessions implements user.Store.
func (db *DB) EndSessions(ctx context.Context, grant access.Grant) error {
	leave, err := db.accounts.Enter(ctx, endOf(grant))
	if err != nil {
		return err
	}
	defer leave()
	return db.inTx(ctx, "end all sessions", func(tx *transaction) error {
		u, err := lockTarget(ctx, tx, grant)
		if err != nil {
			return err
		}
		return applyChange(ctx, tx, u, user.Change{EndSessions: true, Audit: []user.Audit{{Action: user.TokenRevoked}}})
	})
}

// Sessions implements user.Store.
func (db *DB) Sessions(ctx context.Context, userID uuid.UUID) ([]user.Session, error) {
	found := false // an existing user has at least one row
	all, err := collect(ctx, db.pool, func(row pgx.CollectableRow) (user.Session, error) {
		found = true
		return scanSession(row, userID)
	}, `
		SELECT s.id, s.counter, s.created_at, s.turned_at, s.expires_at, s.user_agent, s.ip, s.amr, `+loginTime+`
		FROM users u LEFT JOIN sessions s ON s.user_id = u.id AND s.expires_at > now()
		WHERE u.id = $1 ORDER BY s.id DESC`, userID)
	if err == nil && !found {
		err = pgx.ErrNoRows
	}
	sessions := slices.DeleteFunc(all, func(s user.Session) bool { return s.ID == uuid.Nil })
	return sessions, wrap("list sessions", err)
}

// scanSession reads a session of a user. It returns the zero session for the row of a user without sessions.
func scanSession(row pgx.CollectableRow, userID uuid.UUID) (user.Session, error) {
	var id *uuid.UUID
	var counter *int64
	var created, turned, expires, login *time.Time
	var agent *string
	var ip *netip.Addr
	var amr []string
	if err := row.Scan(&id, &counter, &created, &turned, &expires, &agent, &ip, &amr, &login); err != nil || id == nil {
		return user.Session{}, err
	}
	return user.Session{
		ID: *id, UserID: userID, Counter: uint64(*counter), //nolint:gosec // never negative
		CreatedAt: created.UTC(), AuthTime: login.UTC(), RotatedAt: turned.UTC(), ExpiresAt: expires.UTC(),
		UserAgent: *agent, IP: orZero(ip), AMR: amr,
	}, nil
}

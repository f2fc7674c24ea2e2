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

// callerColumns are the columns of a caller that scanIdentity reads: of the user u, the session s, and one role r of the user. The last one
// is whether the role counts in the session. Every login with a second factor has the method mfa.
var callerColumns = profileColumns + `, s.id, ` + loginTime + `, s.amr, r.name, r.permissions, NOT r.second_factor OR 'mfa' = ANY(s.amr)`

// loginTime selects when the user of the session s logged in.
const loginTime = `coalesce(s.auth_time, s.created_at)`

// callerRoles joins all roles of the user u. A query with it returns a row for each role, or one row without a role. The planner looks up
// each table by its key once. With sub-selects for the roles and permissions in place of the join, PostgreSQL used three times the CPU time.
const callerRoles = ` LEFT JOIN user_roles ur ON ur.user_id = u.id LEFT JOIN roles r ON r.name = ur.role `

// Identify implements user.Store.
func (db *DB) Identify(ctx context.Context, userID, sessionID uuid.UUID) (id user.Identity, err error) {
	err = db.pool.read(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		id, err = identify(ctx, conn, userID, sessionID)
		return err
	})
	return id, wrap("identify a caller", err)
}

// querier is a connection or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

var identifyQuery = `SELECT ` + callerColumns + ` FROM users u JOIN sessions s ON s.user_id = u.id` + callerRoles +
	`WHERE u.id = $1 AND u.status = 'active' AND s.id = $2 AND s.expires_at > clock_timestamp()`

func identify(ctx context.Context, q querier, userID, sessionID uuid.UUID) (user.Identity, error) {
	rows, err := q.Query(ctx, identifyQuery, userID, sessionID)
	if err != nil {
		return user.Identity{}, err
	}
	return scanIdentity(rows)
}

// scanIdentity reads a caller from the rows of the caller's roles, and more columns that follow those of the caller. It returns
// pgx.ErrNoRows if there are no rows.
func scanIdentity(rows pgx.Rows, more ...any) (id user.Identity, err error) {
	defer rows.Close()
	var role *string // nil: the user has no role
	var permissions []string
	var counts *bool
	id.Roles, id.Permissions = []string{}, []access.Permission{}
	u := &id.User
	targets := append(profileTargets(u), &id.SessionID, &id.AuthTime, &id.AMR, &role, &permissions, &counts)
	targets = append(targets, more...)
	found := false
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return user.Identity{}, err
		}
		if found = true; role != nil {
			addRole(&id.Caller, *role, permissions, *counts)
		}
	}
	switch {
	case rows.Err() != nil:
		return user.Identity{}, rows.Err()
	case !found:
		return user.Identity{}, pgx.ErrNoRows
	}
	sortRoles(&id.Caller)
	u.CreatedAt, u.UpdatedAt = u.CreatedAt.UTC(), u.UpdatedAt.UTC()
	id.UserID, u.Roles = u.ID, id.Roles
	return id, nil
}

// addRole adds a role to a caller. If the role does not count in the session, its permissions are withheld.
func addRole(c *access.Caller, role string, permissions []string, counts bool) {
	c.Roles = append(c.Roles, role)
	to := &c.Permissions
	if !counts {
		c.Withheld.Roles = append(c.Withheld.Roles, role)
		to = &c.Withheld.Permissions
	}
	for _, p := range permissions {
		*to = append(*to, access.Permission(p))
	}
}

// sortRoles sorts the roles of a caller and the permissions, and removes repeated permissions: several roles may give the same one.
func sortRoles(c *access.Caller) {
	slices.Sort(c.Roles)
	slices.Sort(c.Permissions)
	c.Permissions = slices.Compact(c.Permissions)
}

var findSessionQuery = `SELECT ` + callerColumns + `, s.counter, s.created_at, s.turned_at, s.expires_at
	FROM sessions s JOIN users u ON u.id = s.user_id` + callerRoles + `WHERE s.id = $1 AND u.status = 'active' AND s.expires_at > clock_timestamp()`

// FindSession implements user.Store.
func (db *DB) FindSession(ctx context.Context, id uuid.UUID) (s user.Session, identity user.Identity, err error) {
	err = db.pool.read(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, findSessionQuery, id)
		if err == nil {
			identity, err = scanIdentity(rows, &s.Counter, &s.CreatedAt, &s.RotatedAt, &s.ExpiresAt)
		}
		return err
	})
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

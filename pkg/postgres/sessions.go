package postgres

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/pkg/access"
	"user-service/pkg/user"
)

// permissionsColumn are the permissions that the roles of users u give.
const permissionsColumn = `ARRAY(SELECT DISTINCT p COLLATE "C"
	FROM user_roles ur JOIN roles r ON r.name = ur.role, unnest(r.permissions) p WHERE ur.user_id = u.id ORDER BY 1)`

// Credential implements user.Store.
func (db *DB) Credential(ctx context.Context, email string) (user.Credential, bool, error) {
	cred, err := scanCredential(db.pool.QueryRow(ctx, `
		SELECT u.id, c.password_hash, u.status FROM users u JOIN credentials c ON c.user_id = u.id
		WHERE u.email_key = $1`, user.Fold(email)))
	if errors.Is(err, pgx.ErrNoRows) {
		return user.Credential{}, false, nil
	}
	return cred, err == nil, failed("read a credential by email", err)
}

// CredentialOf implements user.Store.
func (db *DB) CredentialOf(ctx context.Context, id uuid.UUID) (user.Credential, error) {
	cred, err := scanCredential(db.pool.QueryRow(ctx, `
		SELECT u.id, c.password_hash, u.status FROM users u JOIN credentials c ON c.user_id = u.id
		WHERE u.id = $1`, id))
	return cred, failed("read a credential by id", err)
}

func scanCredential(row pgx.Row) (c user.Credential, err error) {
	err = row.Scan(&c.UserID, &c.PasswordHash, &c.Status)
	return c, err
}

// UpgradeHash implements user.Store.
func (db *DB) UpgradeHash(ctx context.Context, id uuid.UUID, old, upgraded string) error {
	_, err := db.pool.Exec(ctx, `UPDATE credentials SET password_hash = $3 WHERE user_id = $1 AND password_hash = $2`,
		id, old, upgraded)
	return failed("upgrade a password hash", err)
}

// OpenSession implements user.Store.
func (db *DB) OpenSession(ctx context.Context, s user.Session) (user.Identity, error) {
	id, err := scanIdentity(db.pool.QueryRow(ctx, `
		WITH opened AS (
			INSERT INTO sessions (id, user_id, counter, created_at, turned_at, expires_at)
			SELECT $1, id, $3, $4, $5, $6 FROM users WHERE id = $2 AND status = 'active' FOR KEY SHARE
			RETURNING id, user_id)
		SELECT `+userColumns+`, opened.id, `+permissionsColumn+` FROM opened JOIN users u ON u.id = opened.user_id`,
		s.ID, s.UserID, s.Counter, s.CreatedAt, s.TurnedAt, s.ExpiresAt))
	return id, failed("open a session", err)
}

// Identify implements user.Store.
func (db *DB) Identify(ctx context.Context, userID, sessionID uuid.UUID) (user.Identity, error) {
	id, err := identify(ctx, db.pool, userID, sessionID)
	return id, failed("identify a caller", err)
}

// queryer is a pool or a transaction.
type queryer interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func identify(ctx context.Context, q queryer, userID, sessionID uuid.UUID) (user.Identity, error) {
	return scanIdentity(q.QueryRow(ctx, `
		SELECT `+userColumns+`, s.id, `+permissionsColumn+` FROM users u JOIN sessions s ON s.user_id = u.id
		WHERE u.id = $1 AND u.status = 'active' AND s.id = $2 AND s.expires_at > now()`, userID, sessionID))
}

func scanIdentity(row pgx.Row) (user.Identity, error) {
	var session uuid.UUID
	var permissions []access.Permission
	u, err := scanUser(row, &session, &permissions)
	if err != nil {
		return user.Identity{}, err
	}
	return user.Identity{
		Caller: access.Caller{UserID: u.ID, SessionID: session, Roles: u.Roles, Permissions: permissions},
		User:   u,
	}, nil
}

// TurnSession implements user.Store.
func (db *DB) TurnSession(ctx context.Context, id uuid.UUID, decide func(user.Session) (user.Turn, error),
) (user.Identity, error) {
	var identity user.Identity
	var ended bool
	err := db.inTx(ctx, "turn a session", func(tx pgx.Tx) error {
		s, err := lockSession(ctx, tx, id)
		if err != nil {
			return err
		}
		turn, err := decide(s)
		if err != nil {
			return err
		}
		if turn.End {
			ended = true
			_, err := tx.Exec(ctx, `DELETE FROM sessions WHERE id = $1`, id)
			return err
		}
		if t := turn.Session; t != nil {
			if _, err := tx.Exec(ctx, `UPDATE sessions SET counter = $2, turned_at = $3, expires_at = $4 WHERE id = $1`,
				id, t.Counter, t.TurnedAt, t.ExpiresAt); err != nil {
				return err
			}
		}
		identity, err = identify(ctx, tx, s.UserID, id)
		return err
	})
	if err == nil && ended {
		err = failed("turn a session", pgx.ErrNoRows)
	}
	return identity, err
}

func lockSession(ctx context.Context, tx pgx.Tx, id uuid.UUID) (user.Session, error) {
	s := user.Session{ID: id}
	err := tx.QueryRow(ctx, `
		SELECT user_id, counter, created_at, turned_at, expires_at FROM sessions
		WHERE id = $1 AND expires_at > now() FOR UPDATE`, id).
		Scan(&s.UserID, &s.Counter, &s.CreatedAt, &s.TurnedAt, &s.ExpiresAt)
	return s, err
}

// EndSession implements user.Store.
func (db *DB) EndSession(ctx context.Context, id uuid.UUID) error {
	_, err := db.pool.Exec(ctx, `DELETE FROM sessions WHERE id = $1`, id)
	return failed("end a session", err)
}

package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"user-service/pkg/access"
	"user-service/pkg/user"
)

// Roles implements user.Store.
func (db *DB) Roles(ctx context.Context) ([]access.Role, error) {
	rows, err := db.pool.Query(ctx, `SELECT name, description, permissions FROM roles ORDER BY name COLLATE "C"`)
	if err != nil {
		return nil, failed("list the roles", err)
	}
	roles, err := pgx.CollectRows(rows, pgx.RowToStructByPos[access.Role])
	return roles, failed("list the roles", err)
}

// PutRole implements user.Store.
func (db *DB) PutRole(ctx context.Context, r access.Role) error {
	return db.inTx(ctx, "store a role", func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `
			INSERT INTO roles (name, description, permissions) VALUES ($1, $2, $3)
			ON CONFLICT (name) DO UPDATE SET description = excluded.description, permissions = excluded.permissions`,
			r.Name, r.Description, r.Permissions); err != nil {
			return err
		}
		return appendAudit(ctx, tx, user.Audit{Action: user.PermissionsChanged})
	})
}

// DeleteRole implements user.Store.
func (db *DB) DeleteRole(ctx context.Context, name string, most int, decide func(user.User) (user.Change, error)) error {
	holders := 0
	err := db.inTx(ctx, "delete a role", func(tx pgx.Tx) error {
		// Whoever gives this role to a user waits here, or has done it before we look for users.
		if err := tx.QueryRow(ctx, `SELECT name FROM roles WHERE name = $1 FOR UPDATE`, name).Scan(&name); err != nil {
			return err
		}
		users, err := lockHolders(ctx, tx, name, most)
		if err != nil {
			return err
		}
		holders = len(users)
		for _, u := range users {
			change, err := decide(u)
			if err != nil {
				return err
			}
			if err := store(ctx, tx, u, change); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, `DELETE FROM roles WHERE name = $1`, name); err != nil {
			return err
		}
		return appendAudit(ctx, tx, user.Audit{Action: user.PermissionsChanged})
	})
	if err == nil && holders > 0 {
		db.committed()
	}
	return err
}

// lockHolders returns the users that have a role, at most so many.
func lockHolders(ctx context.Context, tx pgx.Tx, role string, most int) ([]user.User, error) {
	rows, err := tx.Query(ctx, `
		SELECT `+userColumns+` FROM users u
		WHERE u.id IN (SELECT user_id FROM user_roles WHERE role = $1) ORDER BY u.id LIMIT $2 FOR UPDATE OF u`, role, most+1)
	if err != nil {
		return nil, err
	}
	users, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (user.User, error) { return scanUser(row) })
	if err == nil && len(users) > most {
		err = &user.Error{Code: user.RoleInUse, Detail: fmt.Sprintf(
			"More than %d users have this role; take it from them first (GET /users?role=%s lists them).", most, role)}
	}
	return users, err
}

package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/pkg/access"
	"user-service/pkg/user"
)

// Roles implements user.Store.
func (db *DB) Roles(ctx context.Context) ([]access.Role, error) {
	roles, err := collect(ctx, db.pool, pgx.RowToStructByPos[access.Role],
		`SELECT name, description, permissions FROM roles ORDER BY name COLLATE "C"`)
	return roles, wrap("list the roles", err)
}

// rolesLock is the advisory lock of whoever changes a role: what two roles give a user together is judged once.
const rolesLock = 0x757365725f726f6c

// maxRoleChanges is how many changes of roles a replica makes concurrently: all of them wait for rolesLock, each with a
// connection.
const maxRoleChanges = 2

// enterRole waits for other changes of the role, and for a place among those of all roles.
func (db *DB) enterRole(ctx context.Context, name string) (leave func(), err error) {
	leaveRole, err := db.roles.Enter(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := db.roleChanges.Acquire(ctx, 1); err != nil {
		leaveRole()
		return nil, wrap("wait for other changes of roles", err)
	}
	return func() {
		db.roleChanges.Release(1)
		leaveRole()
	}, nil
}

// PutRole implements user.Store.
func (db *DB) PutRole(
	ctx context.Context, grant access.Grant, r access.Role, fits func(size int) error, allow func(old *access.Role) error,
) error {
	leave, err := db.enterRole(ctx, r.Name)
	if err != nil {
		return err
	}
	defer leave()
	return db.inGrantedTx(ctx, "store a role", func(tx *transaction) error {
		if err := lockRole(ctx, tx, r.Name, "NO KEY UPDATE"); err != nil {
			return err
		}
		if err := checkGrant(ctx, tx, grant); err != nil {
			return err
		}
		old, err := findRole(ctx, tx, r.Name)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `
			INSERT INTO roles (name, description, permissions) VALUES ($1, $2, $3)
			ON CONFLICT (name) DO UPDATE SET description = excluded.description, permissions = excluded.permissions`,
			r.Name, r.Description, texts(r.Permissions)); err != nil {
			return err
		}
		if old == nil || !old.HasAll(r.Permissions) {
			if err := checkPermissionSize(ctx, tx, r.Name, fits); err != nil {
				return err
			}
		}
		if err := allow(old); err != nil {
			return err
		}
		return appendAudit(ctx, tx, user.RoleStored(old, r))
	})
}

// lockRole locks the role, if there is one, and makes other changes of roles wait.
func lockRole(ctx context.Context, tx pgx.Tx, name, strength string) error {
	var batch pgx.Batch
	batch.Queue(`SELECT 1 FROM roles WHERE name = $1 FOR `+strength, name)
	batch.Queue(`SELECT pg_advisory_xact_lock($1)`, int64(rolesLock))
	return tx.SendBatch(ctx, &batch).Close()
}

// findRole returns a role, or nil if there is none of this name.
func findRole(ctx context.Context, tx pgx.Tx, name string) (*access.Role, error) {
	rows, err := tx.Query(ctx, `SELECT name, description, permissions FROM roles WHERE name = $1`, name)
	if err != nil {
		return nil, err
	}
	role, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByPos[access.Role])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return role, err
}

// checkPermissionSize lets fits judge the size of the permissions that a user of a role has, as token.Size counts them. Mostly all there
// are fit, whoever has them.
func checkPermissionSize(ctx context.Context, tx pgx.Tx, role string, fits func(size int) error) error {
	const all = `SELECT coalesce(sum(octet_length(p) + 3), 0) FROM (SELECT DISTINCT unnest(permissions) AS p FROM roles) AS permissions`
	var size int
	if err := tx.QueryRow(ctx, all).Scan(&size); err != nil || fits(size) == nil {
		return err
	}
	if err := tx.QueryRow(ctx, largestPermissionSize, role).Scan(&size); err != nil {
		return err
	}
	return fits(size)
}

// largestPermissionSize is the size of the permissions of the user of a role who has most, among those who have permissions by
// other roles too. Those are few beside the many who have one role alone.
const largestPermissionSize = `
	WITH sets AS (
		SELECT DISTINCT array_agg(ur.role ORDER BY ur.role) AS others
		FROM roles r JOIN user_roles ur ON ur.role = r.name
		WHERE r.name <> $1 AND r.permissions <> '{}'
			AND EXISTS (SELECT FROM user_roles u WHERE u.user_id = ur.user_id AND u.role = $1)
		GROUP BY ur.user_id)
	SELECT coalesce(max((SELECT sum(octet_length(p) + 3) FROM (
		SELECT DISTINCT unnest(r.permissions) AS p FROM roles r WHERE r.name = $1 OR r.name = ANY(others)) AS permissions)), 0)
	FROM sets`

// errGiven means that a role was given to one more user while it was about to be deleted.
var errGiven = &user.Error{
	Code: user.Unavailable, Detail: "The role is being given to users at this moment; try again shortly.", RetryAfter: time.Second,
}

// DeleteRole implements user.Store.
func (db *DB) DeleteRole(ctx context.Context, grant access.Grant, name string, most int,
	allow func(*access.Role) error, decide func(user.User) (user.Change, error),
) error {
	leave, err := db.enterRole(ctx, name)
	if err != nil {
		return err
	}
	defer leave()
	for range 5 {
		err := db.deleteRole(ctx, grant, name, most, allow, decide)
		if !errors.Is(err, errGiven) {
			return err
		}
	}
	return errGiven
}

// deleteRole locks the users before the role, as wherever roles are given, so that nobody waits
// in a circle. Whoever gives the role to a user waits from then on, or has done it before.
func (db *DB) deleteRole(ctx context.Context, grant access.Grant, name string, most int,
	allow func(*access.Role) error, decide func(user.User) (user.Change, error),
) error {
	return db.inGrantedTx(ctx, "delete a role", func(tx *transaction) error {
		locked, err := lockHolders(ctx, tx, name, most+1)
		if err != nil {
			return err
		}
		if err := lockRole(ctx, tx, name, "UPDATE"); err != nil {
			return err
		}
		if err := checkGrant(ctx, tx, grant); err != nil {
			return err
		}
		role, err := findRole(ctx, tx, name)
		switch {
		case err != nil:
			return err
		case role == nil:
			return pgx.ErrNoRows
		}
		if err := allow(role); err != nil {
			return err
		}
		if len(locked) > most {
			return &user.Error{Code: user.RoleInUse, Detail: fmt.Sprintf(
				"More than %d users have this role; take it from them first (GET /users?role=%s lists them).", most, name)}
		}
		users, err := readHolders(ctx, tx, name)
		if err != nil {
			return err
		}
		for _, u := range users {
			if !slices.Contains(locked, u.ID) {
				return errGiven
			}
			change, err := decide(u)
			if err != nil {
				return err
			}
			if err := applyChange(ctx, tx, u, change); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, `DELETE FROM roles WHERE name = $1`, name); err != nil {
			return err
		}
		return appendAudit(ctx, tx, user.RoleRemoved(*role))
	})
}

// lockHolders locks the users that have a role, at most so many.
func lockHolders(ctx context.Context, tx pgx.Tx, role string, most int) ([]uuid.UUID, error) {
	rows, err := tx.Query(ctx, `
		SELECT id FROM users WHERE id IN (SELECT user_id FROM user_roles WHERE role = $1)
		ORDER BY id LIMIT $2 FOR UPDATE`, role, most)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
}

func readHolders(ctx context.Context, tx pgx.Tx, role string) ([]user.User, error) {
	rows, err := tx.Query(ctx, `
		SELECT `+userColumns+` FROM users u WHERE u.id IN (SELECT user_id FROM user_roles WHERE role = $1) ORDER BY u.id`, role)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (user.User, error) { return scanUser(row) })
}

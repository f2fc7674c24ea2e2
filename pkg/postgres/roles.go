package postgres

import (
	"cmp"
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
		`SELECT name, description, permissions, second_factor FROM roles ORDER BY name COLLATE "C"`)
	return roles, wrap("list the roles", err)
}

// rolesLock is the key of the advisory lock that serializes changes of roles. They are serialized because the limit for a user's
// permissions concerns several roles together. Changes of users that depend on roles take this lock in shared mode.
const rolesLock = 0x757365725f726f6c

// rolesLockTimeout is the maximum time of a wait for rolesLock. It is longer than one change of a role on each replica usually takes.
const rolesLockTimeout = "100ms"

// queueShareRoles queues the statements that lock roles against changes: the named roles, and the roles of the users. PostgreSQL grants
// rolesLock in the order of the requests. So neither changes of users nor changes of roles can delay the other kind forever. After these
// statements, the transaction takes no lock that a holder of rolesLock waits for.
func queueShareRoles(batch *pgx.Batch, names []string, users ...uuid.UUID) {
	ids := make([]string, len(users)) // in the exec mode for PgBouncer, pgx can't encode []uuid.UUID
	for i, u := range users {
		ids[i] = u.String()
	}
	batch.Queue(`SELECT set_config('lock_timeout', $1, true)`, rolesLockTimeout)
	batch.Queue(`SELECT pg_advisory_xact_lock_shared($1)`, int64(rolesLock))
	batch.Queue(`
		SELECT 1 FROM roles WHERE name = ANY($1::text[]) OR name IN (SELECT role FROM user_roles WHERE user_id = ANY($2::uuid[]))
		ORDER BY name COLLATE "C" FOR SHARE NOWAIT`, names, ids)
}

// maxRoleChanges is the maximum number of concurrent changes of roles in a replica. It is low because changes of users wait for rolesLock
// behind changes of roles.
const maxRoleChanges = 1

// enterRole waits until no other change of this role runs in this replica, then until fewer than maxRoleChanges changes of any roles run.
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
	return db.inTx(ctx, "store a role", func(tx *transaction) error {
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
			INSERT INTO roles (name, description, permissions, second_factor) VALUES ($1, $2, $3, $4)
			ON CONFLICT (name) DO UPDATE
			SET description = excluded.description, permissions = excluded.permissions, second_factor = excluded.second_factor`,
			r.Name, r.Description, texts(r.Permissions), r.SecondFactor); err != nil {
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

// lockRole takes rolesLock, and then locks the row of the role if the role exists.
func lockRole(ctx context.Context, tx pgx.Tx, name, strength string) error {
	var batch pgx.Batch
	batch.Queue(`SELECT set_config('lock_timeout', $1, true)`, rolesLockTimeout)
	batch.Queue(`SELECT pg_advisory_xact_lock($1)`, int64(rolesLock))
	batch.Queue(`SELECT 1 FROM roles WHERE name = $1 FOR `+strength, name)
	return tx.SendBatch(ctx, &batch).Close()
}

// findRole returns a role, or nil if it does not exist.
func findRole(ctx context.Context, tx pgx.Tx, name string) (*access.Role, error) {
	rows, err := tx.Query(ctx, `SELECT name, description, permissions, second_factor FROM roles WHERE name = $1`, name)
	if err != nil {
		return nil, err
	}
	role, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByPos[access.Role])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return role, err
}

// checkPermissionSize calls fits with the size of the largest permission set of any user with the role, in bytes as token.Size counts
// them. Usually even the permissions of all roles together fit, so that it reads no users.
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

// largestPermissionSize selects the size of the largest permission set of any user with the role $1. It considers only the few users who
// also have permissions from other roles, because the permissions of a single role always fit.
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

// errRoleAssigned means that a transaction assigned a role to another user while the deletion of this role waited for the lock.
var errRoleAssigned = &user.Error{
	Code: user.Unavailable, Detail: "The role is being assigned to users at this moment; try again shortly.", RetryAfter: time.Second,
}

// DeleteRole implements user.Store.
func (db *DB) DeleteRole(ctx context.Context, grant access.Grant, name string, limit int,
	allow func(*access.Role) error, decide func(user.User) (user.Change, error),
) error {
	leave, err := db.enterRole(ctx, name)
	if err != nil {
		return err
	}
	defer leave()
	for range 5 {
		err := db.deleteRole(ctx, grant, name, limit, allow, decide)
		if !errors.Is(err, errRoleAssigned) {
			return err
		}
	}
	return errRoleAssigned
}

func errRoleInUse(name string, limit int) error {
	return &user.Error{Code: user.RoleInUse, Detail: fmt.Sprintf(
		"More than %d users have this role; take it from them first (GET /users?role=%s lists them).", limit, name)}
}

// refuseDeletion returns an error if the deletion of a role can be refused before the users with the role are locked.
func refuseDeletion(
	ctx context.Context, tx pgx.Tx, grant access.Grant, name string, limit int, allow func(*access.Role) error,
) error {
	role, err := findRole(ctx, tx, name)
	if err != nil || role == nil {
		return err
	}
	var holders int
	if err := tx.QueryRow(ctx, `SELECT count(*) FROM (SELECT FROM user_roles WHERE role = $1 LIMIT $2) AS holders`, name, limit+1).
		Scan(&holders); err != nil {
		return err
	}
	refused := allow(role)
	if refused == nil && holders > limit {
		refused = errRoleInUse(name, limit)
	}
	if refused == nil {
		return nil
	}
	return cmp.Or(checkGrant(ctx, tx, grant), refused)
}

// deleteRole deletes a role. To avoid deadlocks, it locks the users with the role before the role itself, as a transaction that assigns
// roles does. Once the role is locked, no transaction can assign it. Errors: errRoleAssigned, if the role was assigned to another user
// before it was locked.
func (db *DB) deleteRole(ctx context.Context, grant access.Grant, name string, limit int,
	allow func(*access.Role) error, decide func(user.User) (user.Change, error),
) error {
	return db.inTx(ctx, "delete a role", func(tx *transaction) error {
		if err := refuseDeletion(ctx, tx, grant, name, limit, allow); err != nil {
			return err
		}
		locked, err := lockHolders(ctx, tx, name, limit+1)
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
		if len(locked) > limit {
			return errRoleInUse(name, limit)
		}
		users, err := readHolders(ctx, tx, name)
		if err != nil {
			return err
		}
		for _, u := range users {
			if !slices.Contains(locked, u.ID) {
				return errRoleAssigned
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

// lockHolders locks up to limit users that have a role, and returns their ids.
func lockHolders(ctx context.Context, tx pgx.Tx, role string, limit int) ([]uuid.UUID, error) {
	rows, err := tx.Query(ctx, `
		SELECT id FROM users WHERE id IN (SELECT user_id FROM user_roles WHERE role = $1)
		ORDER BY id LIMIT $2 FOR UPDATE`, role, limit)
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

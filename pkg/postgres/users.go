package postgres

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"user-service/pkg/access"
	"user-service/pkg/event"
	"user-service/pkg/user"
)

// userColumns are what scanUser reads, of users u.
const userColumns = `u.id, u.email, u.email_verified, coalesce(u.name, ''), coalesce(u.picture, ''),
	coalesce(u.locale, ''), coalesce(u.zoneinfo, ''), u.metadata::text,
	ARRAY(SELECT ur.role FROM user_roles ur WHERE ur.user_id = u.id ORDER BY ur.role COLLATE "C"),
	u.status, u.version, u.created_at, u.updated_at`

// userFields are where the values of userColumns go.
func userFields(u *user.User, metadata **string) []any {
	return []any{
		&u.ID, &u.Email, &u.EmailVerified, &u.Name, &u.Picture, &u.Locale, &u.Zoneinfo, metadata,
		&u.Roles, &u.Status, &u.Version, &u.CreatedAt, &u.UpdatedAt,
	}
}

// scanUser reads userColumns and whatever follows them.
func scanUser(row pgx.Row, more ...any) (user.User, error) {
	var u user.User
	var metadata *string
	if err := row.Scan(append(userFields(&u, &metadata), more...)...); err != nil {
		return user.User{}, err
	}
	if metadata != nil {
		u.Metadata = []byte(*metadata)
	}
	u.CreatedAt, u.UpdatedAt = u.CreatedAt.UTC(), u.UpdatedAt.UTC()
	return u, nil
}

// Create implements user.Store.
func (db *DB) Create(ctx context.Context, u user.User, passwordHash string, events ...event.Event) error {
	err := db.inTx(ctx, "create a user", func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			INSERT INTO users (id, email, email_key, email_verified, name, name_key, picture, locale, zoneinfo, metadata,
				status, version, created_at, updated_at)
			VALUES ($1, $2, $3, $4, nullif($5, ''), nullif($6, ''), nullif($7, ''), nullif($8, ''), nullif($9, ''), $10,
				$11, $12, $13, $14)`,
			append(writable(u), u.Status, u.Version, u.CreatedAt, u.UpdatedAt)...)
		if err != nil {
			return taken(err)
		}
		if _, err := tx.Exec(ctx, `INSERT INTO credentials (user_id, password_hash, changed_at) VALUES ($1, $2, $3)`,
			u.ID, passwordHash, u.CreatedAt); err != nil {
			return err
		}
		if err := insertRoles(ctx, tx, u); err != nil {
			return err
		}
		return appendEvents(ctx, tx, events)
	})
	if err == nil {
		db.committed()
	}
	return err
}

// Change implements user.Store.
func (db *DB) Change(ctx context.Context, id uuid.UUID,
	decide func(context.Context, user.Tx, user.User) (user.Change, error),
) (user.User, error) {
	var result user.User
	var change user.Change
	err := db.inTx(ctx, "change a user", func(tx pgx.Tx) (err error) {
		result, err = scanUser(tx.QueryRow(ctx, `SELECT `+userColumns+` FROM users u WHERE u.id = $1 FOR UPDATE OF u`, id))
		if err != nil {
			return err
		}
		if change, err = decide(ctx, decision{tx}, result); err != nil {
			return err
		}
		return store(ctx, tx, result, change)
	})
	if err != nil {
		return user.User{}, err
	}
	if change.User != nil {
		result = *change.User
	}
	if len(change.Events) > 0 {
		db.committed()
	}
	return result, nil
}

// store writes what was decided about the locked account old.
func store(ctx context.Context, tx pgx.Tx, old user.User, change user.Change) error {
	if change.User != nil {
		if err := update(ctx, tx, old, *change.User); err != nil {
			return err
		}
	}
	if change.EndSessions {
		if _, err := tx.Exec(ctx, `DELETE FROM sessions WHERE user_id = $1`, old.ID); err != nil {
			return err
		}
	}
	if change.Delete { // credentials, roles and sessions go with it
		if _, err := tx.Exec(ctx, `DELETE FROM users WHERE id = $1`, old.ID); err != nil {
			return err
		}
	}
	return appendEvents(ctx, tx, change.Events)
}

func update(ctx context.Context, tx pgx.Tx, old, u user.User) error {
	_, err := tx.Exec(ctx, `
		UPDATE users SET email = $2, email_key = $3, email_verified = $4, name = nullif($5, ''), name_key = nullif($6, ''),
			picture = nullif($7, ''), locale = nullif($8, ''), zoneinfo = nullif($9, ''), metadata = $10,
			status = $11, version = $12, updated_at = $13
		WHERE id = $1`,
		append(writable(u), u.Status, u.Version, u.UpdatedAt)...)
	if err != nil {
		return taken(err)
	}
	if slices.Equal(old.Roles, u.Roles) {
		return nil
	}
	if _, err := tx.Exec(ctx, `DELETE FROM user_roles WHERE user_id = $1`, u.ID); err != nil {
		return err
	}
	return insertRoles(ctx, tx, u)
}

func insertRoles(ctx context.Context, tx pgx.Tx, u user.User) error {
	_, err := tx.Exec(ctx, `INSERT INTO user_roles (user_id, role) SELECT $1, unnest($2::text[])`, u.ID, u.Roles)
	var server *pgconn.PgError
	if errors.As(err, &server) && server.ConstraintName == "user_roles_role_fkey" {
		return user.FieldErrors{{Pointer: "/roles", Detail: "names a role that does not exist"}}.Err()
	}
	return err
}

// writable are the first ten parameters of the statements that write a user.
func writable(u user.User) []any {
	var metadata *string
	if u.Metadata != nil {
		text := string(u.Metadata)
		metadata = &text
	}
	return []any{
		u.ID, u.Email, user.Fold(u.Email), u.EmailVerified, u.Name, user.Fold(u.Name),
		u.Picture, u.Locale, u.Zoneinfo, metadata,
	}
}

// taken gives the breach of the email's uniqueness its meaning.
func taken(err error) error {
	var server *pgconn.PgError
	if errors.As(err, &server) && server.ConstraintName == "users_email_key" {
		return &user.Error{Code: user.EmailTaken, Detail: "Another account has this email.", Err: err}
	}
	return err
}

// User implements user.Store.
func (db *DB) User(ctx context.Context, id uuid.UUID) (user.User, error) {
	u, err := scanUser(db.pool.QueryRow(ctx, `SELECT `+userColumns+` FROM users u WHERE u.id = $1`, id))
	return u, failed("read a user", err)
}

// Roles implements user.Store.
func (db *DB) Roles(ctx context.Context) ([]access.Role, error) {
	rows, err := db.pool.Query(ctx, `SELECT name, description, permissions FROM roles ORDER BY name COLLATE "C"`)
	if err != nil {
		return nil, failed("list the roles", err)
	}
	roles, err := pgx.CollectRows(rows, pgx.RowToStructByPos[access.Role])
	return roles, failed("list the roles", err)
}

// decision answers what a decision asks within its transaction.
type decision struct{ tx pgx.Tx }

// AnotherActiveAdmin implements user.Tx. The lock on the role makes decisions about
// admins wait for each other, so that two admins can't take each other's role at once.
func (d decision) AnotherActiveAdmin(ctx context.Context, id uuid.UUID) (bool, error) {
	if _, err := d.tx.Exec(ctx, `SELECT 1 FROM roles WHERE name = $1 FOR NO KEY UPDATE`, access.Admin); err != nil {
		return false, err
	}
	var another bool
	err := d.tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT 1 FROM user_roles ur JOIN users u ON u.id = ur.user_id
			WHERE ur.role = $1 AND ur.user_id <> $2 AND u.status = $3)`,
		access.Admin, id, user.Active).Scan(&another)
	return another, err
}

// UnknownRoles implements user.Tx.
func (d decision) UnknownRoles(ctx context.Context, names []string) ([]string, error) {
	rows, err := d.tx.Query(ctx, `SELECT name FROM roles WHERE name = ANY($1::text[]) FOR KEY SHARE`, names)
	if err != nil {
		return nil, err
	}
	known, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(known, name) }), nil
}

package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/pkg/access"
	"user-service/pkg/user"
)

// decision implements user.Tx. It reads in the transaction that stores the decision.
type decision struct{ tx pgx.Tx }

// adminsLock is the advisory lock for a change that removes an admin. A lock on the row of the role admin would not work: the transactions
// of admins hold a shared lock on that row.
const adminsLock = 0x757365725f61646d

// AnotherActiveAdmin implements user.Tx. The lock serializes the decisions about admins. So two admins can't remove each other's role
// concurrently.
func (d decision) AnotherActiveAdmin(ctx context.Context, id uuid.UUID) (bool, error) {
	if _, err := d.tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(adminsLock)); err != nil {
		return false, err
	}
	var another bool
	err := d.tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT 1 FROM user_roles ur JOIN users u ON u.id = ur.user_id JOIN credentials c ON c.user_id = u.id
			WHERE ur.role = $1 AND ur.user_id <> $2 AND u.status = $3 AND c.password_hash <> '')`,
		access.Admin, id, user.Active).Scan(&another)
	return another, err
}

// Roles implements user.Tx. A change of one of these roles waits until the transaction ends, and then sees which users have the role.
func (d decision) Roles(ctx context.Context, names []string) ([]access.Role, error) {
	rows, err := d.tx.Query(ctx, `
		SELECT name, description, permissions, second_factor FROM roles WHERE name = ANY($1::text[]) ORDER BY name FOR SHARE`, names)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[access.Role])
}

// HasPassword implements user.Tx.
func (d decision) HasPassword(ctx context.Context, id uuid.UUID) (has bool, err error) {
	return has, d.tx.QueryRow(ctx, `SELECT password_hash <> '' FROM credentials WHERE user_id = $1`, id).Scan(&has)
}

// PasswordAt implements user.Tx.
func (d decision) PasswordAt(ctx context.Context, id uuid.UUID) (at time.Time, err error) {
	return at, d.tx.QueryRow(ctx, `SELECT changed_at FROM credentials WHERE user_id = $1`, id).Scan(&at)
}

// FreshTokens implements user.Tx.
func (d decision) FreshTokens(ctx context.Context, u user.User, purpose user.Purpose) (n int, now time.Time, err error) {
	err = d.tx.QueryRow(ctx, `
		SELECT greatest(
			(SELECT count(*) FROM one_time_tokens WHERE user_id = $1 AND purpose = $2 AND created_at > now() - $4::interval),
			(SELECT count(*) FROM token_mailboxes WHERE email_hash = $3 AND purpose = $2 AND sent_at > now() - $4::interval)), now()`,
		u.ID, purpose, emailHash(u.Email), user.FreshTokenAge).Scan(&n, &now)
	return n, now.UTC(), err
}

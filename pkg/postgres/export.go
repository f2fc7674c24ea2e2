package postgres

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype/zeronull"

	"user-service/pkg/user"
)

// Export implements user.Store.
func (db *DB) Export(ctx context.Context, id uuid.UUID) (e user.Export, err error) {
	err = db.pool.read(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		var batch pgx.Batch
		batch.Queue(rowLimits)
		batch.Queue(`SELECT `+userColumns+`, 
			(SELECT changed_at FROM credentials WHERE user_id = u.id AND password_hash <> '') FROM users u WHERE u.id = $1`, id).
			QueryRow(func(row pgx.Row) error {
				e.User, err = scanUser(row, (*zeronull.Timestamptz)(&e.PasswordChangedAt))
				return err
			})
		batch.Queue(`SELECT id, counter, created_at, turned_at, expires_at, user_agent, ip, amr, `+loginTime+`
			FROM sessions s WHERE user_id = $1 ORDER BY id DESC`, id).
			Query(into(&e.Sessions, func(row pgx.CollectableRow) (user.Session, error) { return scanSession(row, id) }))
		batch.Queue(`SELECT network, first_login_at, last_login_at FROM login_networks WHERE user_id = $1 ORDER BY first_login_at, network`, id).
			Query(into(&e.Networks, scanLoginNetwork))
		batch.Queue(`SELECT purpose, created_at, expires_at FROM one_time_tokens WHERE user_id = $1 ORDER BY created_at`, id).
			Query(into(&e.Tokens, scanIssuedToken))
		batch.Queue(`SELECT created_at, expires_at FROM login_challenges WHERE user_id = $1 ORDER BY created_at`, id).
			Query(into(&e.Challenges, scanIssuedChallenge))
		queueFactors(&batch, id, &e.Factors)
		return conn.SendBatch(ctx, &batch).Close()
	})
	e.PasswordChangedAt = e.PasswordChangedAt.UTC()
	return e, wrap("export a user", err)
}

// into returns the callback for a query of a batch. The callback collects the rows into all.
func into[T any](all *[]T, scan pgx.RowToFunc[T]) func(pgx.Rows) error {
	return func(rows pgx.Rows) (err error) {
		*all, err = pgx.CollectRows(rows, scan)
		return err
	}
}

func scanLoginNetwork(row pgx.CollectableRow) (n user.LoginNetwork, err error) {
	err = row.Scan(&n.Network, &n.FirstLoginAt, &n.LastLoginAt)
	n.FirstLoginAt, n.LastLoginAt = n.FirstLoginAt.UTC(), n.LastLoginAt.UTC()
	return n, err
}

func scanIssuedToken(row pgx.CollectableRow) (t user.IssuedToken, err error) {
	err = row.Scan(&t.Purpose, &t.CreatedAt, &t.ExpiresAt)
	t.CreatedAt, t.ExpiresAt = t.CreatedAt.UTC(), t.ExpiresAt.UTC()
	return t, err
}

func scanIssuedChallenge(row pgx.CollectableRow) (c user.IssuedChallenge, err error) {
	err = row.Scan(&c.CreatedAt, &c.ExpiresAt)
	c.CreatedAt, c.ExpiresAt = c.CreatedAt.UTC(), c.ExpiresAt.UTC()
	return c, err
}

// auditEventsOf reads a page through two indexes. UNION removes duplicates: the entries that are both by and about the user.
const auditEventsOf = `
	(SELECT ` + auditEventColumns + ` FROM audit_events WHERE user_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3)
	UNION
	(SELECT ` + auditEventColumns + ` FROM audit_events WHERE actor_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3)
	ORDER BY id DESC LIMIT $3`

// AuditEventsOf implements user.Store.
func (db *DB) AuditEventsOf(ctx context.Context, id, before uuid.UUID, limit int) (user.AuditPage, error) {
	events, err := collectPage(ctx, db.pool, scanAuditEvent, auditEventsOf, id, before, limit+1)
	if err != nil {
		return user.AuditPage{}, wrap("export the audit trail", err)
	}
	if len(events) > limit {
		return user.AuditPage{Events: events[:limit], More: true}, nil
	}
	return user.AuditPage{Events: events}, nil
}

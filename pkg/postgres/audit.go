package postgres

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/pkg/user"
)

// appendAudit makes entries in the audit trail, in the transaction of what they tell about.
func appendAudit(ctx context.Context, tx pgx.Tx, entries ...user.Audit) error {
	var batch pgx.Batch
	if err := queueAudit(ctx, &batch, entries...); err != nil {
		return err
	}
	return tx.SendBatch(ctx, &batch).Close()
}

// Note implements user.Store.
func (db *DB) Note(ctx context.Context, entry user.Audit) error {
	return db.inTx(ctx, "note something", func(tx pgx.Tx) error { return appendAudit(ctx, tx, entry) })
}

// queueAudit makes entries as appendAudit does. One about a user who was erased while something went on, such as
// a login, does not tell where that came from. Where the erasure is not committed yet, the reaper sees to it.
func queueAudit(ctx context.Context, batch *pgx.Batch, entries ...user.Audit) error {
	from := user.OriginOf(ctx)
	for _, entry := range entries {
		id, err := uuid.NewV7()
		if err != nil {
			return fmt.Errorf("make the id of an audit entry: %w", err)
		}
		actor := entry.Actor
		if actor == uuid.Nil {
			actor = from.ActorID
		}
		batch.Queue(`
			INSERT INTO audit_events (id, time, action, actor_id, user_id, ip, request_id)
			SELECT $1, $2, $3, $4, $5, CASE WHEN known THEN $6::inet END, CASE WHEN known THEN nullif($7, '') END
			FROM (SELECT $5::uuid IS NULL OR EXISTS (SELECT FROM users WHERE id = $5) AS known) AS subject`,
			id, time.Now(), entry.Action, orNull(actor), orNull(entry.UserID), address(from.IP), from.RequestID)
	}
	return nil
}

// AuditEvents implements user.Store. Only the conditions that the filter asks for are in the query,
// so that each kind of list has a plan of its own.
func (db *DB) AuditEvents(ctx context.Context, f user.AuditFilter) (user.AuditPage, error) {
	query, args := auditQuery(f)
	rows, err := db.pool.Query(ctx, query, args...)
	if err != nil {
		return user.AuditPage{}, failed("list the audit trail", err)
	}
	events, err := pgx.CollectRows(rows, scanAuditEvent)
	if err != nil {
		return user.AuditPage{}, failed("list the audit trail", err)
	}
	if len(events) > f.Limit {
		return user.AuditPage{Events: events[:f.Limit], More: true}, nil
	}
	return user.AuditPage{Events: events}, nil
}

// auditQuery asks for one entry more than the filter's limit, to know whether there are more.
func auditQuery(f user.AuditFilter) (query string, args []any) {
	var where []string
	add := func(condition string, value any) {
		args = append(args, value)
		where = append(where, fmt.Sprintf(condition, len(args)))
	}
	if f.Before != uuid.Nil {
		add("id < $%d", f.Before)
	}
	if f.UserID != uuid.Nil {
		add("user_id = $%d", f.UserID)
	}
	if f.Action != "" {
		add("action = $%d", f.Action)
	}
	query = `SELECT id, time, action, actor_id, user_id, ip, coalesce(request_id, '') FROM audit_events`
	if len(where) > 0 {
		query += ` WHERE ` + strings.Join(where, " AND ")
	}
	args = append(args, f.Limit+1)
	return query + fmt.Sprintf(` ORDER BY id DESC LIMIT $%d`, len(args)), args
}

func scanAuditEvent(row pgx.CollectableRow) (user.AuditEvent, error) {
	var e user.AuditEvent
	var ip *netip.Addr
	err := row.Scan(&e.ID, &e.Time, &e.Action, &e.ActorID, &e.UserID, &ip, &e.RequestID)
	e.Time = e.Time.UTC()
	if ip != nil {
		e.IP = ip.String()
	}
	return e, err
}

// orNull stores the nil UUID as NULL.
func orNull(id uuid.UUID) *uuid.UUID {
	if id == uuid.Nil {
		return nil
	}
	return &id
}

// address stores the zero address as NULL.
func address(ip netip.Addr) *netip.Addr {
	if !ip.IsValid() {
		return nil
	}
	return &ip
}

// orZero reads NULL as the zero address.
func orZero(ip *netip.Addr) netip.Addr {
	if ip == nil {
		return netip.Addr{}
	}
	return *ip
}

package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

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

// RecordAudit implements user.Store.
func (db *DB) RecordAudit(ctx context.Context, entry user.Audit) error {
	pool := db.pool
	if entry.Action == user.LoginFailed { // a refused login needs no other connections than one that is let through
		pool = db.logins
	}
	return inTx(ctx, pool, "record an audit entry", func(tx *transaction) error { return appendAudit(ctx, tx, entry) })
}

// auditEntry are the values of an entry: $1 action, $2 actor_id, $3 actor, $4 user_id, $5 ip, $6 request_id, $7 detail,
// and $8, whether user_id is left out if there is no such account.
//
// Id and time are those of the database, whose clock all replicas share. The id is a UUIDv7 with the fraction of the
// millisecond in rand_a (RFC 9562 section 6.2, method 3), so that the entries of a transaction sort as they were made.
//
// One by, or about, a user who was erased while something went on, such as a login, does not tell where that came from.
// Where the erasure is not committed yet, the cleanup sees to it.
const auditEntry = `
	SELECT (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7'
			|| lpad(to_hex(mod(extract(microseconds FROM at)::bigint, 1000) * 4096 / 1000), 3, '0') || substr(gen_random_uuid()::text, 20))::uuid,
		at, $1::text, $2::uuid, nullif($3::text, ''), about, CASE WHEN known THEN $5::inet END, CASE WHEN known THEN nullif($6::text, '') END,
		%s
	FROM (SELECT at, about, ($2::uuid IS NULL OR EXISTS (SELECT FROM users WHERE id = $2))
			AND (about IS NULL OR EXISTS (SELECT FROM users WHERE id = about)) AS known
		FROM (SELECT clock_timestamp() AS at,
			CASE WHEN $8::bool THEN (SELECT id FROM users WHERE id = $4) ELSE $4::uuid END AS about) AS moment) AS entry`

const auditColumns = `INSERT INTO audit_events (id, time, action, actor_id, actor, user_id, ip, request_id, detail)`

var (
	insertAudit = auditColumns + fmt.Sprintf(auditEntry, `nullif($7::jsonb, '{}')`)
	// endSessions ends all sessions of a user, and tells in the entry how many of them were living.
	endSessions = `WITH ended AS (DELETE FROM sessions WHERE user_id = $4 RETURNING expires_at > now() AS living) ` +
		auditColumns + fmt.Sprintf(auditEntry,
		`$7::jsonb || jsonb_build_object('sessions', (SELECT count(*) FROM ended WHERE living))`)
)

// queueAudit makes entries as appendAudit does.
func queueAudit(ctx context.Context, batch *pgx.Batch, entries ...user.Audit) error {
	for _, entry := range entries {
		args, err := auditArgs(ctx, entry)
		if err != nil {
			return err
		}
		batch.Queue(insertAudit, args...)
	}
	return nil
}

// queueEndSessions ends all sessions of a user, and makes the entries about the change that ends them.
func queueEndSessions(ctx context.Context, batch *pgx.Batch, id uuid.UUID, entries ...user.Audit) error {
	if len(entries) == 0 {
		batch.Queue(`DELETE FROM sessions WHERE user_id = $1`, id)
		return nil
	}
	args, err := auditArgs(ctx, entries[0])
	if err != nil {
		return err
	}
	batch.Queue(endSessions, args...)
	return queueAudit(ctx, batch, entries[1:]...)
}

// auditArgs are the parameters of insertAudit.
func auditArgs(ctx context.Context, entry user.Audit) ([]any, error) {
	from, actor := user.OriginOf(ctx), entry.Actor
	if actor == uuid.Nil {
		actor = from.ActorID
	}
	detail, err := json.Marshal(entry.Detail)
	if err != nil {
		return nil, fmt.Errorf("encode the detail of an audit entry: %w", err)
	}
	return []any{
		entry.Action, orNull(actor), from.Actor, orNull(entry.UserID), address(from.IP), from.RequestID, string(detail),
		entry.Action == user.AccessDenied, // its user_id is what the caller has put into the path
	}, nil
}

// AuditEvents implements user.Store. Only the conditions that the filter asks for are in the query,
// so that each kind of list has a plan of its own.
func (db *DB) AuditEvents(ctx context.Context, f user.AuditFilter) (user.AuditPage, error) {
	query, args := auditQuery(f)
	events, err := collectPage(ctx, db.pool, scanAuditEvent, query, args...)
	if err != nil {
		return user.AuditPage{}, wrap("list the audit trail", err)
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
	if f.UserID.Valid {
		add("user_id = $%d", f.UserID.UUID)
	}
	if f.Action != "" {
		add("action = $%d", f.Action)
	}
	query = `SELECT id, time, action, actor_id, coalesce(actor, ''), user_id, ip, coalesce(request_id, ''), detail FROM audit_events`
	if len(where) > 0 {
		query += ` WHERE ` + strings.Join(where, " AND ")
	}
	args = append(args, f.Limit+1)
	return query + fmt.Sprintf(` ORDER BY id DESC LIMIT $%d`, len(args)), args
}

func scanAuditEvent(row pgx.CollectableRow) (user.AuditEvent, error) {
	var e user.AuditEvent
	var ip *netip.Addr
	err := row.Scan(&e.ID, &e.Time, &e.Action, &e.ActorID, &e.Actor, &e.UserID, &ip, &e.RequestID, &e.Detail)
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

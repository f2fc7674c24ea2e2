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

// appendAudit adds entries to the audit trail, in the transaction of the change that they describe.
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
	if entry.Action == user.LoginFailed { // like an accepted login, a refused login uses only the connections reserved for logins
		pool = db.logins
	}
	return inTx(ctx, pool, "record an audit entry", func(tx *transaction) error { return appendAudit(ctx, tx, entry) })
}

// auditEntry is the query that computes the values of one audit entry. Its parameters are $1 action, $2 actor_id, $3 actor, $4 user_id,
// $5 ip, $6 request_id and $7 detail. If $8 is true and the account does not exist, user_id is NULL.
//
// The database sets the id and the time, so that the entries of all replicas use one clock. The id is a UUIDv7. Its first 48 bits are the
// time in milliseconds. The 12 bits after the version are the fraction of the millisecond (RFC 9562 section 6.2, method 3). So the entries
// of a transaction sort in the order in which they were added.
//
// If the actor or the user of an entry does not exist, the entry gets no address and no request id. The user may have been erased during
// the request, for example during a login. If the erasure commits only after this query, the cleanup removes the address and the request
// id later.
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
	// endSessions ends all sessions of a user except $9, and adds an audit entry. The detail of the entry states how many of these sessions
	// had not expired.
	endSessions = `WITH ended AS (DELETE FROM sessions WHERE user_id = $4 AND id IS DISTINCT FROM $9 RETURNING expires_at > now() AS living) ` +
		auditColumns + fmt.Sprintf(auditEntry,
		`$7::jsonb || jsonb_build_object('sessions', (SELECT count(*) FROM ended WHERE living))`)
)

// queueAudit queues the statements that add entries to the audit trail.
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

// queueEndSessions queues the statements that end all sessions of a user except one, and add the audit entries of the change. The detail of
// the first entry gets the number of ended sessions. Logins that wait for a second factor end too.
func queueEndSessions(ctx context.Context, batch *pgx.Batch, id, except uuid.UUID, entries ...user.Audit) error {
	batch.Queue(`DELETE FROM login_challenges WHERE user_id = $1`, id)
	if len(entries) == 0 {
		batch.Queue(`DELETE FROM sessions WHERE user_id = $1 AND id IS DISTINCT FROM $2`, id, orNull(except))
		return nil
	}
	args, err := auditArgs(ctx, entries[0])
	if err != nil {
		return err
	}
	batch.Queue(endSessions, append(args, orNull(except))...)
	return queueAudit(ctx, batch, entries[1:]...)
}

// auditArgs returns the parameters of insertAudit and endSessions.
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
		entry.Action == user.AccessDenied, // the user_id of such an entry comes from the path of the request; the account may not exist
	}, nil
}

const auditEventColumns = `id, time, action, actor_id, coalesce(actor, ''), user_id, ip, coalesce(request_id, ''), detail`

// AuditEvents implements user.Store. The query contains only the conditions that the filter sets, so that PostgreSQL plans each
// combination separately.
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

// auditQuery returns the query that lists audit entries. The query asks for one entry more than f.Limit, to find out whether more entries
// exist. For a user or an action, the conditions and the order name both columns of the index. The reason is at listQuery, also for the
// limit.
func auditQuery(f user.AuditFilter) (query string, args []any) {
	var where []string
	add := func(condition string, values ...any) {
		for _, v := range values {
			args = append(args, v)
			condition = strings.Replace(condition, "?", fmt.Sprintf("$%d", len(args)), 1)
		}
		where = append(where, condition)
	}
	before, order := f.Before, "id DESC"
	if before == uuid.Nil {
		before = uuid.Max
	}
	switch {
	case f.UserID.Valid:
		add("(user_id, id) < (?, ?) AND user_id >= ?", f.UserID.UUID, before, f.UserID.UUID)
		order = "user_id DESC, id DESC"
		if f.Action != "" {
			add("action = ?", f.Action)
		}
	case f.Action != "":
		add("(action, id) < (?, ?) AND action >= ?", f.Action, before, f.Action)
		order = "action DESC, id DESC"
	default:
		add("id < ?", before)
	}
	return fmt.Sprintf(`SELECT %s FROM audit_events WHERE %s ORDER BY %s LIMIT %d`,
		auditEventColumns, strings.Join(where, " AND "), order, f.Limit+1), args
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

// orNull returns nil, which is stored as NULL, for the nil UUID.
func orNull(id uuid.UUID) *uuid.UUID {
	if id == uuid.Nil {
		return nil
	}
	return &id
}

// address returns nil, which is stored as NULL, for the zero address.
func address(ip netip.Addr) *netip.Addr {
	if !ip.IsValid() {
		return nil
	}
	return &ip
}

// orZero returns the zero address for nil, which is read from NULL.
func orZero(ip *netip.Addr) netip.Addr {
	if ip == nil {
		return netip.Addr{}
	}
	return *ip
}

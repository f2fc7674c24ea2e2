package postgres

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/pkg/access"
	"user-service/pkg/user"
)

// A change by a caller locks in this order:
//
//  1. the users that it changes, by id, or the role; this step can wait
//  2. the user of the caller, so that its status and its roles do not change
//  3. the session of the caller, so that it is not ended
//  4. rolesLock in shared mode, then the roles of the caller and of the target, by name
//
// A workload has neither an account nor a session, so a change by a workload omits steps 2 and 3.
//
// The transaction does not wait for the row locks of steps 2 and 4, because two callers who change each other would deadlock. If such a
// lock is not free, the transaction is rolled back and retried. So a change that waits for its target holds no lock that would delay
// disabling its caller or ending the caller's session.
//
// A caller who makes many changes must not delay a change of the caller's own account or roles. PostgreSQL grants a shared lock on a row
// even while another transaction waits for an exclusive lock on it. Overlapping shared locks would therefore delay that transaction
// forever. So step 2 takes an exclusive lock: a caller changes one other account at a time. Step 4 waits for rolesLock, which PostgreSQL
// grants in the order of the requests.

// callerState is the state of a grant's caller and target, read under the locks of the transaction.
type callerState struct {
	caller access.Caller // zero if the user's session has ended, or if the account is not active
	target access.Holder
	user   user.User // the target; zero if there is none
}

// queueGrant queues the statements that lock the rows on which the grant depends, except for the target, and that read the caller.
func queueGrant(batch *pgx.Batch, g access.Grant, found *callerState) {
	caller := g.Caller()
	if caller.Workload != "" {
		queueWorkload(batch, g, found)
		return
	}
	if !g.Self() {
		batch.Queue(`SELECT 1 FROM users WHERE id = $1 FOR NO KEY UPDATE NOWAIT`, caller.UserID)
	}
	batch.Queue(`SELECT 1 FROM sessions WHERE id = $1 AND user_id = $2 FOR KEY SHARE`, caller.SessionID, caller.UserID)
	if g.ByPermission() {
		queueShareRoles(batch, g.NewRoles(), caller.UserID, g.Target())
	}
	batch.Queue(identifyQuery, caller.UserID, caller.SessionID).Query(func(rows pgx.Rows) error {
		identity, err := scanIdentity(rows)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		found.caller = identity.Caller
		if g.Self() {
			found.user = identity.User
		}
		return err
	})
	if len(g.NewRoles()) > 0 {
		queueNewRoles(batch, g, found)
	}
}

// queueNewRoles queues the query for the permissions of the account that the grant creates. The roles are locked already.
func queueNewRoles(batch *pgx.Batch, g access.Grant, found *callerState) {
	found.target.Roles = g.NewRoles()
	batch.Queue(`SELECT coalesce(array_agg(DISTINCT p), '{}') FROM roles, unnest(permissions) AS p WHERE name = ANY($1::text[])`,
		g.NewRoles()).QueryRow(func(row pgx.Row) error { return row.Scan(&found.target.Permissions) })
}

// queueWorkload queues the statements that lock and read the roles of a workload. A workload has neither an account nor a session.
func queueWorkload(batch *pgx.Batch, g access.Grant, found *callerState) {
	caller := g.Caller()
	queueShareRoles(batch, slices.Concat(caller.Roles, g.NewRoles()), g.Target())
	batch.Queue(workloadQuery, caller.Roles).QueryRow(func(row pgx.Row) (err error) {
		found.caller, err = scanWorkload(row, caller.Workload)
		return err
	})
	if len(g.NewRoles()) > 0 {
		queueNewRoles(batch, g, found)
	}
}

// check checks the grant in the order of the API: 401, 403, 404.
func (found callerState) check(g access.Grant) error {
	switch {
	case !g.Internal() && !found.caller.Known():
		return user.ErrSessionEnded()
	case !g.Internal() && g.NeedsFactor(found.caller, found.target):
		return user.ErrNeedsFactor()
	case !g.Internal() && !g.Allows(found.caller, found.target):
		return user.ErrForbidden()
	case g.Target() != uuid.Nil && found.user.ID == uuid.Nil:
		return pgx.ErrNoRows
	default:
		return nil
	}
}

// lockTarget locks and reads the target of the grant, and checks the grant, in one round trip. Separate statements lock and then read: a
// statement that waits for a lock would read the other tables as they were before its wait.
func lockTarget(ctx context.Context, tx pgx.Tx, g access.Grant) (user.User, error) {
	var batch pgx.Batch
	var found callerState
	batch.Queue(`SELECT 1 FROM users WHERE id = $1 FOR UPDATE`, g.Target())
	if !g.Internal() {
		queueGrant(&batch, g, &found)
	}
	if !g.Self() {
		queueTarget(&batch, g, &found)
	}
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return user.User{}, err
	}
	err := found.check(g)
	if err == nil && found.user.ID == uuid.Nil { // the target is the nil UUID
		err = pgx.ErrNoRows
	}
	return found.user, err
}

// queueTarget queues the statement that reads the locked target of the grant.
func queueTarget(batch *pgx.Batch, g access.Grant, found *callerState) {
	batch.Queue(`SELECT `+userColumns+`, `+permissionsColumn+` FROM users u WHERE u.id = $1`, g.Target()).
		QueryRow(func(row pgx.Row) error {
			u, err := scanUser(row, &found.target.Permissions)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			found.user, found.target.Roles = u, u.Roles
			return err
		})
}

// checkGrant checks a grant without a locked target. The transaction must already hold the locks of everything that it changes.
func checkGrant(ctx context.Context, tx pgx.Tx, g access.Grant) error {
	if g.Internal() {
		return nil
	}
	var batch pgx.Batch
	var found callerState
	queueGrant(&batch, g, &found)
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return err
	}
	return found.check(g)
}

// account is the key of a queue of changes. Each purpose has its own queue. So a flood of changes by a user does not prevent an
// administrator from disabling the account, or the user from ending sessions. Requests that end another user's sessions count against no
// quota, so they have one queue for each caller.
type account struct {
	id       uuid.UUID
	purpose  purpose
	caller   uuid.UUID // the caller of othersEndOfSessions, if it is a user
	workload string    // the caller of othersEndOfSessions, if it is a workload
}

type purpose int

const (
	ownChange purpose = iota
	othersChange
	ownEndOfSessions
	othersEndOfSessions
)

func accountOf(g access.Grant) account {
	if g.Self() {
		return account{id: g.Target(), purpose: ownChange}
	}
	return account{id: g.Target(), purpose: othersChange}
}

func endOf(g access.Grant) account {
	if g.Self() {
		return account{id: g.Target(), purpose: ownEndOfSessions}
	}
	return account{id: g.Target(), purpose: othersEndOfSessions, caller: g.Caller().UserID, workload: g.Caller().Workload}
}

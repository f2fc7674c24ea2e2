package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"user-service/pkg/user"
)

// class is the meaning of a database error for a client of the service.
type class int

const (
	fault         class = iota // An error of the service or its data: 500.
	transient                  // A condition that clears without a change of the service: 503.
	schemaMissing              // A migration has not run yet: 503.
)

// classes maps classes of SQLSTATEs to their meaning. A class is the first two characters of an SQLSTATE. Classes that are not listed are
// faults.
//
// Source: https://www.postgresql.org/docs/current/errcodes-appendix.html
var classes = map[string]class{
	"08": transient, // Connection exception. PgBouncer reports all its own errors as 08P01.
	"28": transient, // Invalid authorization: a password is being rotated. A pooler may report it on an open connection.
	"40": transient, // Transaction rollback: serialization, deadlock.
	"53": transient, // Insufficient resources.
	"55": transient, // Object not in prerequisite state: locks, maintenance.
	"57": transient, // Operator intervention.
	"58": transient, // System error.
}

// codes maps single SQLSTATEs to their meaning, where it differs from the meaning of their class.
var codes = map[string]class{
	"25006": transient,     // Read-only transaction: a standby, or a database that an operator has made read-only.
	"25P02": transient,     // Failed transaction: an earlier statement of the transaction failed.
	"25P03": transient,     // Idle-in-transaction timeout.
	"25P04": transient,     // Transaction timeout.
	"26000": transient,     // The prepared statement was dropped.
	"3D000": transient,     // The database does not exist yet, or is being restored.
	"72000": transient,     // Snapshot too old.
	"42501": transient,     // Insufficient privilege. Privileges are granted after the migrations; readiness names the missing ones.
	"3F000": schemaMissing, // Undefined schema.
	"42703": schemaMissing, // Undefined column.
	"42704": schemaMissing, // Undefined type or other object.
	"42883": schemaMissing, // Undefined function.
	"42P01": schemaMissing, // Undefined table.
}

// classOf returns the meaning of an error of the server.
func classOf(err *pgconn.PgError) class {
	if isStalePlan(err) {
		return transient
	}
	if c, known := codes[err.Code]; known {
		return c
	}
	return classes[err.Code[:min(len(err.Code), 2)]]
}

// isStalePlan reports whether a statement failed because a migration has changed its columns after it was prepared: "cached plan must not
// change result type". The server may translate this message, but not the name of the function that reports it.
func isStalePlan(err *pgconn.PgError) bool {
	return err.Code == "0A000" && err.Routine == "RevalidateCachedQuery"
}

// wrap returns a user.Error unchanged. It converts pgx.ErrNoRows to a user.Error NotFound, and errors that a client can retry to a
// user.Error Unavailable. It adds the operation to all other errors.
func wrap(operation string, err error) error {
	var known *user.Error
	var server *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errLockTaken):
		return unavailable("Another change of the same account or role is running; try again shortly.", operation, err)
	case errors.As(err, &known):
		return err
	case errors.Is(err, pgx.ErrNoRows):
		return &user.Error{Code: user.NotFound, Detail: "There is nothing here."}
	case isConnectionFailure(err):
		return unavailable("The database can't be reached at this moment; try again shortly.", operation, err)
	case !errors.As(err, &server):
		return fmt.Errorf("%s: %w", operation, err)
	}
	switch classOf(server) {
	case schemaMissing:
		return unavailable("The database's schema is not migrated yet; try again shortly.", operation, err)
	case transient:
		return unavailable("The database can't serve this request at this moment; try again shortly.", operation, err)
	default:
		return fmt.Errorf("%s: %w", operation, err)
	}
}

// unavailable returns the user.Error for a failure that a client can retry.
func unavailable(detail, operation string, err error) error {
	return &user.Error{Code: user.Unavailable, Detail: detail, RetryAfter: time.Second, Err: fmt.Errorf("%s: %w", operation, err)}
}

// lostError is the error of a call that lost its connection. pgx also closes a connection after a message that it can't read.
type lostError struct {
	err   error
	began bool // the call may have had an effect, and must not be retried
}

func (e *lostError) Error() string { return "connection lost: " + e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

// isConnectionFailure reports whether a call got no connection, ran out of time, or lost its connection.
func isConnectionFailure(err error) bool {
	var (
		connecting *pgconn.ConnectError // for any reason, such as a missing database or role, or a password that is being rotated
		server     *pgconn.PgError
		lost       *lostError
		network    net.Error
		record     tls.RecordHeaderError
		alert      tls.AlertError
	)
	switch {
	case errors.As(err, &connecting):
		return true
	case errors.As(err, &server):
		return false
	}
	return errors.As(err, &lost) || errors.As(err, &network) || errors.As(err, &record) || errors.As(err, &alert) ||
		pgconn.SafeToRetry(err) || errors.Is(err, puddle.ErrClosedPool) || errors.Is(err, pgconn.ErrConnClosed) ||
		errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

// hasCode reports whether the server's error has this SQLSTATE.
func hasCode(err error, code string) bool {
	var server *pgconn.PgError
	return errors.As(err, &server) && server.Code == code
}

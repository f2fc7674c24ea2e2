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

// class is what an error of the database means to the caller of the service.
type class int

const (
	fault         class = iota // of the service or of its data: 500
	passing                    // clears without a change of the service: 503
	schemaMissing              // a migration is still to come: 503
)

// classes tells what the classes of SQLSTATEs mean. A class that is missing is a fault.
//
// Source: https://www.postgresql.org/docs/current/errcodes-appendix.html
var classes = map[string]class{
	"08": passing, // connection exception; PgBouncer reports all its own errors as 08P01
	"28": passing, // invalid authorization: a password is being rotated; behind a pooler this comes at any time
	"40": passing, // transaction rollback: serialization, deadlock
	"53": passing, // insufficient resources
	"55": passing, // object not in prerequisite state: locks, maintenance
	"57": passing, // operator intervention
	"58": passing, // system error
}

// codes tells what single SQLSTATEs mean that differ from their class.
var codes = map[string]class{
	"25006": passing,       // read-only transaction: a standby, or a database that an operator protects
	"25P02": passing,       // failed transaction: it follows another error
	"25P03": passing,       // idle-in-transaction timeout
	"25P04": passing,       // transaction timeout
	"26000": passing,       // the prepared statement was dropped
	"3D000": passing,       // the database is not there yet, or is being restored
	"72000": passing,       // snapshot too old
	"42501": passing,       // insufficient privilege: rights are granted after the schema has come, and readiness names them
	"3F000": schemaMissing, // schema
	"42703": schemaMissing, // column
	"42704": schemaMissing, // type or other object
	"42883": schemaMissing, // function
	"42P01": schemaMissing, // table
}

// classOf returns what an error of the server means.
func classOf(err *pgconn.PgError) class {
	if isStalePlan(err) {
		return passing
	}
	if c, known := codes[err.Code]; known {
		return c
	}
	return classes[err.Code[:min(len(err.Code), 2)]]
}

// isStalePlan reports whether a prepared statement returns other columns since a migration: "cached plan must not change
// result type". The server translates the text, but not the name of its function.
func isStalePlan(err *pgconn.PgError) bool {
	return err.Code == "0A000" && err.Routine == "RevalidateCachedQuery"
}

// wrap returns the error of a call for its caller: not found, unavailable, or a fault of the service.
func wrap(doing string, err error) error {
	var known *user.Error
	var server *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case errors.Is(err, pgx.ErrNoRows):
		return &user.Error{Code: user.NotFound, Detail: "There is nothing here."}
	case isConnectionFailure(err):
		return unavailable("The database can't be reached at this moment; try again shortly.", doing, err)
	case !errors.As(err, &server):
		return fmt.Errorf("%s: %w", doing, err)
	}
	switch classOf(server) {
	case schemaMissing:
		return unavailable("The database's schema is not there yet; try again shortly.", doing, err)
	case passing:
		return unavailable("The database can't serve this request at this moment; try again shortly.", doing, err)
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
}

func unavailable(detail, doing string, err error) error {
	return &user.Error{Code: user.Unavailable, Detail: detail, RetryAfter: time.Second, Err: fmt.Errorf("%s: %w", doing, err)}
}

// lostError is an error of a call whose connection is closed since. That holds for whatever the driver could not read.
type lostError struct {
	err   error
	began bool // whether the call may have had an effect
}

func (e *lostError) Error() string { return "connection lost: " + e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

// isConnectionFailure reports whether there was no connection, no time left, or a connection that broke.
func isConnectionFailure(err error) bool {
	var (
		connecting *pgconn.ConnectError // for any reason: a database or a role that is not there yet, a password that changes
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

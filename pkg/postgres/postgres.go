// Package postgres keeps everything that lasts: every line of SQL is here. It
// implements what package user and package outbox ask for.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"user-service/pkg/user"
)

// connectTimeout is how long one attempt to connect may take, if the URL does not
// say: requests have to be answered within 2 seconds.
const connectTimeout = 1500 * time.Millisecond

// Config says where the database is.
type Config struct {
	URL      string // a connection URL or key=value string (libpq, pgx)
	MaxConns int32  // connections held at most; 0 leaves it to the URL or to pgx
}

// DB is the database. It is safe for concurrent use.
type DB struct {
	pool      *pgxpool.Pool
	committed func() // called after each transaction that stored events
}

// Open returns a DB; it does not wait for the database to be there. After each
// transaction that stored events it calls committed, which may be nil.
func Open(ctx context.Context, cfg Config, committed func()) (*DB, error) {
	poolConfig, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		return nil, errors.New("the database URL can't be parsed") // pgx's own message may show parts of it
	}
	if cfg.MaxConns > 0 {
		poolConfig.MaxConns = cfg.MaxConns
	}
	if poolConfig.ConnConfig.ConnectTimeout == 0 || poolConfig.ConnConfig.ConnectTimeout > time.Minute {
		poolConfig.ConnConfig.ConnectTimeout = connectTimeout
	}
	poolConfig.ConnConfig.Tracer = otelpgx.NewTracer()
	pool, err := pgxpool.NewWithConfig(ctx, poolConfig)
	if err != nil {
		return nil, fmt.Errorf("open the database pool: %w", err)
	}
	if committed == nil {
		committed = func() {}
	}
	return &DB{pool: pool, committed: committed}, nil
}

// Close closes all connections, when their queries have ended.
func (db *DB) Close() { db.pool.Close() }

// Ping reports whether the database answers.
func (db *DB) Ping(ctx context.Context) error { return db.pool.Ping(ctx) }

// Stat returns the figures of the connection pool.
func (db *DB) Stat() *pgxpool.Stat { return db.pool.Stat() }

// inTx runs work in one transaction: committed if work returns nil, else rolled back.
func (db *DB) inTx(ctx context.Context, doing string, work func(pgx.Tx) error) error {
	err := pgx.BeginFunc(ctx, db.pool, work)
	return failed(doing, err)
}

// failed says what an error of the database means to the caller: that nothing was
// found, that the database can't serve at this moment, or that the service has a fault.
func failed(doing string, err error) error {
	var known *user.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case errors.Is(err, pgx.ErrNoRows):
		return &user.Error{Code: user.NotFound, Detail: "There is nothing here."}
	case isUnavailable(err):
		return &user.Error{
			Code: user.Unavailable, Detail: "The database can't be reached at this moment; try again shortly.",
			RetryAfter: time.Second, Err: fmt.Errorf("%s: %w", doing, err),
		}
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
}

// isUnavailable reports whether err will pass by itself: no connection, no time left,
// a server that starts, stops, is read-only or full, or a schema that is still to come.
func isUnavailable(err error) bool {
	var server *pgconn.PgError
	if errors.As(err, &server) {
		switch server.Code[:2] {
		case "08", "40", "53", "57", "58": // connection, rollback, resources, operator, system
			return true
		}
		switch server.Code {
		case "25006", "42P01", "42703": // read-only transaction, undefined table, undefined column
			return true
		}
		return false
	}
	var connecting *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connecting) || errors.As(err, &network) || pgconn.SafeToRetry(err) ||
		errors.Is(err, context.DeadlineExceeded) || isClosed(err)
}

func isUndefinedTable(err error) bool {
	var server *pgconn.PgError
	return errors.As(err, &server) && server.Code == "42P01"
}

// isClosed reports whether a connection broke in the middle of its use.
func isClosed(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

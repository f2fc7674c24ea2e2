package postgres

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// pingTime bounds the question whether an idle connection still answers.
	pingTime = 500 * time.Millisecond
	// slowTime is how long a call may take before the idle connections are asked whether they answer: its own may be dead.
	slowTime = 400 * time.Millisecond
	// trustTime is how long a connection is used again without that question.
	trustTime = time.Second
	// refillTime is how often the pool opens connections up to MinConns again.
	refillTime = 5 * time.Second
	// repeats bounds how often one call is repeated that did nothing.
	repeats = 2
)

// pool lends connections. A connection that is closed frees its place at once: pgxpool itself would keep the place until
// the server has answered, for up to 15 seconds. If one connection is dead or slow, all idle ones are asked whether they
// answer.
//
// A call that provably did nothing is repeated.
type pool struct {
	conns     *pgxpool.Pool
	writes    *writeWatch
	committed func()       // called after each transaction that stored events
	acquired  atomic.Int64 // when a connection was last acquired, in nanoseconds since 1970
}

func newPool(ctx context.Context, cfg *pgxpool.Config, writes *writeWatch, committed func()) (*pool, error) {
	cfg.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false } // acquire does
	cfg.BeforeClose = func(conn *pgx.Conn) { closeSoon(conn.PgConn()) }
	cfg.HealthCheckPeriod = min(cfg.HealthCheckPeriod, refillTime)
	conns, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &pool{conns: conns, writes: writes, committed: committed}, nil
}

// leaseKey is the key of what the pool keeps with a connection.
const leaseKey = "user-service.usage"

type lease struct {
	returned time.Time   // zero before the first return
	slow     *time.Timer // runs while the connection is lent
}

func leaseOf(conn *pgxpool.Conn) *lease {
	data := conn.Conn().PgConn().CustomData()
	u, ok := data[leaseKey].(*lease)
	if !ok {
		u = &lease{}
		data[leaseKey] = u
	}
	return u
}

// acquire lends a connection that answers.
func (p *pool) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	for {
		conn, err := p.conns.Acquire(ctx)
		if err != nil {
			return nil, err
		}
		u := leaseOf(conn)
		if u.returned.IsZero() || time.Since(u.returned) < trustTime || answers(ctx, conn) {
			p.acquired.Store(time.Now().UnixNano())
			u.slow = time.AfterFunc(slowTime, func() { p.sweep(context.Background()) })
			return conn, nil
		}
		discard(conn)
		p.sweep(ctx)
	}
}

// answers asks whether the server answers on this connection. It closes the connection if not. A caller that goes away
// costs no connection.
func answers(ctx context.Context, conn *pgxpool.Conn) bool {
	limit := time.Now().Add(pingTime)
	if end, ok := ctx.Deadline(); ok && end.Before(limit) {
		limit = end
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), limit)
	defer cancel()
	return conn.Ping(ctx) == nil
}

// sweep throws the idle connections away that do not answer.
func (p *pool) sweep(ctx context.Context) {
	var asking sync.WaitGroup
	for _, conn := range p.conns.AcquireAllIdle(ctx) {
		asking.Go(func() {
			if answers(context.WithoutCancel(ctx), conn) {
				p.put(conn)
			} else {
				discard(conn)
			}
		})
	}
	asking.Wait()
}

// release takes a connection back after a call that ended with err.
func (p *pool) release(conn *pgxpool.Conn, err error) {
	leaseOf(conn).slow.Stop()
	if !conn.Conn().IsClosed() {
		p.put(conn)
		return
	}
	discard(conn)
	if !errors.Is(err, context.Canceled) { // the caller went away: nothing is known about other connections
		go p.sweep(context.Background())
	}
}

func (p *pool) put(conn *pgxpool.Conn) {
	leaseOf(conn).returned = time.Now()
	conn.Release()
}

// with lends a connection to one call.
func (p *pool) with(ctx context.Context, call func(*pgx.Conn) error) (err error) {
	conn, err := p.acquire(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && conn.Conn().IsClosed() {
			err = &lostError{err: err}
		}
		p.release(conn, err)
	}()
	return call(conn.Conn())
}

// repeat makes a call that is atomic, and repeats it if it did nothing: its plan or prepared statement was of no use any
// more, its connection was read-only but new ones are not, or its connection was lost before it began.
func (p *pool) repeat(ctx context.Context, call func() error) error {
	err := call()
	for range repeats {
		if err == nil || ctx.Err() != nil || !p.recovered(ctx, err) {
			break
		}
		err = call()
	}
	return err
}

// recovered reports whether a call that failed with err did nothing and may succeed now.
func (p *pool) recovered(ctx context.Context, err error) bool {
	var server *pgconn.PgError
	var lost *lostError
	isServer := errors.As(err, &server)
	switch {
	case isServer && server.Code == "25006":
		return p.writes.mayWrite(ctx)
	case isServer && (server.Code == "26000" || isStalePlan(server)):
		p.conns.Reset() // what is prepared on the other connections is as old
		return true
	case errors.As(err, &lost) && !lost.began:
		p.sweep(ctx)
		return true
	default:
		return false
	}
}

// Exec runs one statement that has the same effect if it runs twice.
func (p *pool) Exec(ctx context.Context, sql string, args ...any) error {
	return p.repeat(ctx, func() error {
		return p.with(ctx, func(conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, sql, args...)
			return err
		})
	})
}

// QueryRow returns the first row of a query that has the same effect if it runs twice. It runs with Scan.
func (p *pool) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return row(func(dest []any) error {
		return p.repeat(ctx, func() error {
			return p.with(ctx, func(conn *pgx.Conn) error { return conn.QueryRow(ctx, sql, args...).Scan(dest...) })
		})
	})
}

type row func(dest []any) error

// Scan implements pgx.Row.
func (r row) Scan(dest ...any) error { return r(dest) }

// collect returns all rows of a query that has the same effect if it runs twice.
func collect[T any](ctx context.Context, p *pool, to pgx.RowToFunc[T], sql string, args ...any) (all []T, err error) {
	err = p.repeat(ctx, func() error {
		return p.with(ctx, func(conn *pgx.Conn) error {
			rows, err := conn.Query(ctx, sql, args...)
			if err != nil {
				return err
			}
			all, err = pgx.CollectRows(rows, to)
			return err
		})
	})
	return all, err
}

// collectPage is collect for an answer that may not fit into the buffers of the network: the server gives up to send it
// to a client that vanished.
func collectPage[T any](ctx context.Context, p *pool, to pgx.RowToFunc[T], sql string, args ...any) (all []T, err error) {
	err = p.repeat(ctx, func() error {
		return p.with(ctx, func(conn *pgx.Conn) error {
			var batch pgx.Batch
			batch.Queue(rowLimits)
			batch.Queue(sql, args...).Query(func(rows pgx.Rows) error {
				all, err = pgx.CollectRows(rows, to)
				return err
			})
			return conn.SendBatch(ctx, &batch).Close()
		})
	})
	return all, err
}

// stuck returns an error if no connection can be lent: none was for two seconds, and none is before ctx ends. Requests
// take less than that, so a busy pool is not stuck.
func (p *pool) stuck(ctx context.Context) error {
	if time.Since(time.Unix(0, p.acquired.Load())) < 2*time.Second {
		return nil
	}
	return p.with(ctx, func(*pgx.Conn) error { return nil })
}

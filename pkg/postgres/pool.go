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
	// pingTimeout bounds the ping of an idle connection.
	pingTimeout = 500 * time.Millisecond
	// slowCall is the duration of a call after which the pool pings its idle connections, because the connection of the call may be dead.
	slowCall = 400 * time.Millisecond
	// pingAfterIdle is the idle time after which a connection is pinged before its next use.
	pingAfterIdle = time.Second
	// refillInterval is the time between two checks that at least MinConns connections are open.
	refillInterval = 5 * time.Second
	// maxRetries is the maximum number of retries of a call that had no effect.
	maxRetries = 2
)

// pool lends connections. When it closes a connection, the place in the pool is free immediately. pgxpool alone would keep the place
// until the server has answered, for up to 15 seconds. If a connection is dead or slow, the pool pings all idle connections and closes
// the dead ones.
//
// The pool retries calls that provably had no effect.
type pool struct {
	conns     *pgxpool.Pool
	writes    *writeWatch
	committed func()       // called after each transaction that stored events
	acquired  atomic.Int64 // the time of the last successful acquire, in nanoseconds since 1970
}

func newPool(ctx context.Context, cfg *pgxpool.Config, writes *writeWatch, committed func()) (*pool, error) {
	cfg.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false } // acquire pings
	cfg.BeforeClose = func(conn *pgx.Conn) { closeSoon(conn.PgConn()) }
	cfg.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		registerUUIDs(conn.TypeMap())
		return nil
	}
	cfg.HealthCheckPeriod = min(cfg.HealthCheckPeriod, refillInterval)
	conns, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &pool{conns: conns, writes: writes, committed: committed}, nil
}

// leaseKey is the key of a connection's lease in its custom data.
const leaseKey = "user-service.usage"

// lease is the state that the pool keeps for a connection.
type lease struct {
	returned time.Time   // the time of the last return; zero before the first one
	slow     *time.Timer // runs while the connection is lent; nil before the first time
}

func leaseOf(conn *pgxpool.Conn) *lease {
	data := conn.Conn().PgConn().CustomData()
	l, ok := data[leaseKey].(*lease)
	if !ok {
		l = &lease{}
		data[leaseKey] = l
	}
	return l
}

// acquire returns a working connection. It pings a connection that was idle for pingAfterIdle or longer.
func (p *pool) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	for {
		conn, err := p.conns.Acquire(ctx)
		if err != nil {
			return nil, err
		}
		l := leaseOf(conn)
		if l.returned.IsZero() || time.Since(l.returned) < pingAfterIdle || isAlive(ctx, conn) {
			p.acquired.Store(time.Now().UnixNano())
			p.startTimer(l)
			return conn, nil
		}
		discard(conn)
		p.discardDead(ctx)
	}
}

// startTimer starts the timer of a lent connection. The timer is reused, because a new timer and its function are allocations for each
// query.
func (p *pool) startTimer(l *lease) {
	if l.slow == nil {
		l.slow = time.AfterFunc(slowCall, func() { p.discardDead(context.Background()) })
		return
	}
	l.slow.Reset(slowCall)
}

// isAlive pings the server on this connection. If the server does not answer by the deadline, the connection is closed. Canceling ctx
// does not interrupt the ping, because an interruption would close a working connection.
func isAlive(ctx context.Context, conn *pgxpool.Conn) bool {
	limit := time.Now().Add(pingTimeout)
	if end, ok := ctx.Deadline(); ok && end.Before(limit) {
		limit = end
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), limit)
	defer cancel()
	return conn.Ping(ctx) == nil
}

// discardDead pings all idle connections, and discards those that do not answer.
func (p *pool) discardDead(ctx context.Context) {
	var pings sync.WaitGroup
	for _, conn := range p.conns.AcquireAllIdle(ctx) {
		pings.Go(func() {
			if isAlive(context.WithoutCancel(ctx), conn) {
				p.put(conn)
			} else {
				discard(conn)
			}
		})
	}
	pings.Wait()
}

// release returns a connection to the pool after a call that ended with err.
func (p *pool) release(conn *pgxpool.Conn, err error) {
	leaseOf(conn).slow.Stop()
	if !conn.Conn().IsClosed() {
		p.put(conn)
		return
	}
	discard(conn)
	if !errors.Is(err, context.Canceled) { // the cancellation of a call says nothing about the other connections
		go p.discardDead(context.Background())
	}
}

func (p *pool) put(conn *pgxpool.Conn) {
	leaseOf(conn).returned = time.Now()
	conn.Release()
}

// with runs a call with a connection. Errors: lostError, if the connection was lost during the call.
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

// retry runs a call that takes effect completely or not at all. It retries the call up to maxRetries times in these cases:
//
//   - The plan or the prepared statement was outdated.
//   - The connection was read-only, and new connections are writable.
//   - The connection was lost, and the call had not begun or can run twice.
func (p *pool) retry(ctx context.Context, call func() error) error {
	err := call()
	for range maxRetries {
		if err == nil || ctx.Err() != nil || !p.mayRetry(ctx, err) {
			break
		}
		err = call()
	}
	return err
}

// mayRetry reports whether a call that failed with err had no effect and may succeed now.
func (p *pool) mayRetry(ctx context.Context, err error) bool {
	var server *pgconn.PgError
	var lost *lostError
	isServer := errors.As(err, &server)
	switch {
	case isServer && server.Code == "25006":
		return p.writes.mayWrite(ctx)
	case isServer && (server.Code == "26000" || isStalePlan(server)):
		p.conns.Reset() // the prepared statements of the other connections are outdated too
		return true
	case errors.As(err, &lost) && !lost.began:
		p.discardDead(ctx)
		return true
	default:
		return false
	}
}

// cancelGrace is the time that a read or a transaction may still take after its client has disconnected. pgx closes the connection of a
// canceled query, and a new connection costs more than most reads and transactions. So without this time, clients that disconnect would
// exhaust the pool.
const cancelGrace = 200 * time.Millisecond

// withCancelGrace returns a context that ends at the deadline of ctx, or cancelGrace after ctx is canceled.
func withCancelGrace(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	graceful, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(cancelGrace, cancel) })
	return graceful, func() { stop(); cancel() }
}

// Exec runs an idempotent statement.
func (p *pool) Exec(ctx context.Context, sql string, args ...any) error {
	return p.read(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, sql, args...)
		return err
	})
}

// read runs an idempotent call with a connection. It retries the call as retry does. The call gets the context of withCancelGrace.
func (p *pool) read(ctx context.Context, call func(context.Context, *pgx.Conn) error) error {
	return p.retry(ctx, func() error {
		return p.with(ctx, func(conn *pgx.Conn) error {
			graceful, cancel := withCancelGrace(ctx)
			defer cancel()
			return call(graceful, conn)
		})
	})
}

// QueryRow returns the first row of an idempotent query. The query runs when Scan is called.
func (p *pool) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return row(func(dest []any) error {
		return p.read(ctx, func(ctx context.Context, conn *pgx.Conn) error { return conn.QueryRow(ctx, sql, args...).Scan(dest...) })
	})
}

// row is a pgx.Row that runs its query in Scan.
type row func(dest []any) error

// Scan implements pgx.Row.
func (r row) Scan(dest ...any) error { return r(dest) }

// collect returns all rows of an idempotent query.
func collect[T any](ctx context.Context, p *pool, to pgx.RowToFunc[T], sql string, args ...any) (all []T, err error) {
	err = p.read(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, to)
		return err
	})
	return all, err
}

// collectPage is collect for a result that may exceed the buffers of the network. It limits the time for which the server tries to send
// the result to a client that has disappeared.
func collectPage[T any](ctx context.Context, p *pool, to pgx.RowToFunc[T], sql string, args ...any) (all []T, err error) {
	err = p.read(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		var batch pgx.Batch
		batch.Queue(rowLimits)
		batch.Queue(sql, args...).Query(func(rows pgx.Rows) error {
			all, err = pgx.CollectRows(rows, to)
			return err
		})
		return conn.SendBatch(ctx, &batch).Close()
	})
	return all, err
}

// stuck returns an error if no call has got a connection for two seconds and no connection becomes free before ctx ends. Requests take
// less than two seconds, so a pool that is only busy is not stuck.
func (p *pool) stuck(ctx context.Context) error {
	if time.Since(time.Unix(0, p.acquired.Load())) < 2*time.Second {
		return nil
	}
	return p.with(ctx, func(*pgx.Conn) error { return nil })
}

package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// These limits let the server release the locks of a client that has disappeared. Without these limits, only TCP keepalive would end the
// client's session, after two hours. They are set in the same round trip as BEGIN, and only for the transaction, so that they work behind
// a pooler.
//
//   - idle_in_transaction_session_timeout ends a session that waits for its client.
//   - tcp_user_timeout ends a session that can't send its result.
//   - statement_timeout ends a statement. By then its client has given up: a request takes at most 1.8 s, and the cleanup a few
//     milliseconds.
//   - lock_timeout ends a wait for a lock. inTx then waits without a connection.
const (
	vanishedClientLimits = `set local idle_in_transaction_session_timeout = '5s'; set local tcp_user_timeout = '5s'`
	beginRequest         = `begin; ` + vanishedClientLimits + `; set local statement_timeout = '2s'; set local lock_timeout = '25ms'`
	beginCleanup         = `begin; ` + vanishedClientLimits + `; set local statement_timeout = '5s'`

	// rowLimits is the first statement of a batch whose query may have a large result. It applies to the implicit transaction of the
	// batch.
	rowLimits = `SELECT set_config('tcp_user_timeout', '5s', true)`
)

const (
	minLockPause = 10 * time.Millisecond
	maxLockPause = 160 * time.Millisecond
	// maxLockWait is the time by which the server has released the locks of a client that has disappeared.
	maxLockWait = 10 * time.Second
)

// inTx runs work in a transaction that starts with the query begin. It commits if work returns nil, and rolls back otherwise. After the
// commit it calls committed if work has stored events. It may run work again after a rollback.
//
// If another transaction holds a lock that work needs, inTx returns its connection, pauses and runs work again. It does so for at most
// maxLockWait. So requests for locked accounts take no connections away from other requests.
func (p *pool) inTx(ctx context.Context, begin string, work func(*transaction) error) error {
	start, pause := time.Now(), minLockPause
	for {
		err := p.tryTx(ctx, begin, work)
		if !isLockTaken(err) || time.Since(start) > maxLockWait {
			return err
		}
		timer := time.NewTimer(pause/2 + rand.N(pause)) //nolint:gosec // no secret
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			return fmt.Errorf("%w: %w", errLockTaken, err)
		}
		pause = min(2*pause, maxLockPause)
	}
}

// errLockTaken means that other changes held a lock for the whole time of the request.
var errLockTaken = errors.New("locked by other changes")

// isLockTaken reports whether a statement with NOWAIT found its row locked, or a statement waited for a lock for longer than
// lock_timeout.
func isLockTaken(err error) bool { return hasCode(err, "55P03") }

func (p *pool) tryTx(ctx context.Context, begin string, work func(*transaction) error) error {
	return p.retry(ctx, func() error {
		tx, err := p.begin(ctx, begin)
		if err != nil {
			return err
		}
		starter := beginner(func(context.Context) (pgx.Tx, error) { return tx, nil })
		err = pgx.BeginFunc(ctx, starter, func(pgx.Tx) error { return work(tx) })
		if err != nil && tx.lost {
			err = &lostError{err: err, began: true}
		}
		if err == nil && tx.hasEvents {
			p.committed()
		}
		return err
	})
}

type beginner func(context.Context) (pgx.Tx, error)

// Begin calls b.
func (b beginner) Begin(ctx context.Context) (pgx.Tx, error) { return b(ctx) }

func (p *pool) begin(ctx context.Context, query string) (*transaction, error) {
	conn, err := p.acquire(ctx)
	if err != nil {
		return nil, err
	}
	graceful, cancel := withCancelGrace(ctx)
	tx, err := conn.BeginTx(graceful, pgx.TxOptions{BeginQuery: query})
	if err != nil {
		cancel()
		if conn.Conn().IsClosed() {
			err = &lostError{err: err}
		}
		p.release(conn, err)
		return nil, err
	}
	return &transaction{Tx: tx, ctx: graceful, cancel: cancel, pool: p, conn: conn}, nil
}

// transaction is a transaction that returns its connection to the pool when it ends. Its statements run in a context of withCancelGrace
// instead of the context of the caller.
type transaction struct {
	pgx.Tx
	ctx       context.Context //nolint:containedctx // of its statements
	cancel    context.CancelFunc
	pool      *pool
	conn      *pgxpool.Conn // nil after the transaction
	lost      bool          // the connection broke during the transaction
	hasEvents bool          // events were stored
}

// Exec implements pgx.Tx.
func (tx *transaction) Exec(_ context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return tx.Tx.Exec(tx.ctx, sql, args...)
}

// Query implements pgx.Tx.
func (tx *transaction) Query(_ context.Context, sql string, args ...any) (pgx.Rows, error) {
	return tx.Tx.Query(tx.ctx, sql, args...)
}

// QueryRow implements pgx.Tx.
func (tx *transaction) QueryRow(_ context.Context, sql string, args ...any) pgx.Row {
	return tx.Tx.QueryRow(tx.ctx, sql, args...)
}

// SendBatch implements pgx.Tx.
func (tx *transaction) SendBatch(_ context.Context, batch *pgx.Batch) pgx.BatchResults {
	return tx.Tx.SendBatch(tx.ctx, batch)
}

// Commit implements pgx.Tx.
func (tx *transaction) Commit(context.Context) error {
	if tx.conn == nil {
		return pgx.ErrTxClosed
	}
	err := tx.Tx.Commit(tx.ctx)
	tx.lost = tx.conn.Conn().IsClosed()
	tx.release(err)
	return err
}

// Rollback implements pgx.Tx.
func (tx *transaction) Rollback(ctx context.Context) error {
	if tx.conn == nil {
		return pgx.ErrTxClosed
	}
	tx.lost = tx.conn.Conn().IsClosed()
	err := tx.Tx.Rollback(ctx) // also after the end of tx.ctx
	tx.release(err)
	return err
}

func (tx *transaction) release(err error) {
	tx.pool.release(tx.conn, err)
	tx.conn = nil
	tx.cancel()
}

// stored is the Exec callback of a statement that stores an event.
func (tx *transaction) stored(tag pgconn.CommandTag) error {
	tx.hasEvents = tx.hasEvents || tag.RowsAffected() > 0
	return nil
}

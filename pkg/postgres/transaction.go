package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The server ends what a client has left behind: a client that vanished without a word would otherwise keep its locks
// until TCP's keepalive ends the session, two hours later. The limits are set with BEGIN in one round trip, for the
// transaction alone, so that they work behind a pooler.
//
//   - idle_in_transaction_session_timeout ends a session that waits for its client.
//   - tcp_user_timeout ends one that can't send its answer.
//   - statement_timeout ends a statement that waits for a lock while it holds others. Nobody waits for its answer any
//     more: a request takes 1.8 s, and the cleanup needs milliseconds.
const (
	vanishedLimits = `set local idle_in_transaction_session_timeout = '5s'; set local tcp_user_timeout = '5s'`
	beginRequest   = `begin; ` + vanishedLimits + `; set local statement_timeout = '2s'`
	beginCleanup   = `begin; ` + vanishedLimits + `; set local statement_timeout = '5s'`

	// rowLimits is for a query with a long answer, in the transaction that a batch is.
	rowLimits = `SELECT set_config('tcp_user_timeout', '5s', true)`
)

// inTx runs work in one transaction that begins with a query: committed if work returns nil, else rolled back. Work may
// be run again, after the transaction was rolled back.
func (p *pool) inTx(ctx context.Context, begin string, work func(pgx.Tx) error) error {
	return p.repeat(ctx, func() error {
		var tx *poolTx
		err := pgx.BeginFunc(ctx, beginner(func(ctx context.Context) (_ pgx.Tx, err error) {
			if tx, err = p.begin(ctx, begin); err != nil {
				return nil, err
			}
			return tx, nil
		}), work)
		if err != nil && tx != nil && tx.lost {
			err = &lostError{err: err, began: true}
		}
		return err
	})
}

type beginner func(context.Context) (pgx.Tx, error)

// Begin calls b.
func (b beginner) Begin(ctx context.Context) (pgx.Tx, error) { return b(ctx) }

func (p *pool) begin(ctx context.Context, query string) (*poolTx, error) {
	conn, err := p.acquire(ctx)
	if err != nil {
		return nil, err
	}
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{BeginQuery: query})
	if err != nil {
		if conn.Conn().IsClosed() {
			err = &lostError{err: err}
		}
		p.release(conn, err)
		return nil, err
	}
	return &poolTx{Tx: tx, pool: p, conn: conn}, nil
}

// poolTx is a transaction that returns its connection to the pool.
type poolTx struct {
	pgx.Tx
	pool *pool
	conn *pgxpool.Conn // nil after the transaction
	lost bool          // whether the connection broke in the transaction
}

// Commit implements pgx.Tx.
func (tx *poolTx) Commit(ctx context.Context) error {
	if tx.conn == nil {
		return pgx.ErrTxClosed
	}
	err := tx.Tx.Commit(ctx)
	tx.lost = tx.conn.Conn().IsClosed()
	tx.release(err)
	return err
}

// Rollback implements pgx.Tx.
func (tx *poolTx) Rollback(ctx context.Context) error {
	if tx.conn == nil {
		return pgx.ErrTxClosed
	}
	tx.lost = tx.conn.Conn().IsClosed()
	err := tx.Tx.Rollback(ctx)
	tx.release(err)
	return err
}

func (tx *poolTx) release(err error) {
	tx.pool.release(tx.conn, err)
	tx.conn = nil
}

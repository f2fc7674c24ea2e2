package postgres

import (
	"context"
	"net"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// closeTimeout is the maximum time for closing a connection, that is, for sending the last message and waiting until the server closes.
// It also limits a request to cancel a query. pgx itself allows 15 seconds.
const closeTimeout = time.Second

// closeSoon closes the socket of a connection after closeTimeout, even if pgx still waits for the server.
func closeSoon(conn *pgconn.PgConn) {
	socket := conn.Conn()
	time.AfterFunc(closeTimeout, func() { _ = socket.Close() })
}

// discard removes a connection from the pool and closes it in the background, so that its place in the pool is free immediately.
func discard(conn *pgxpool.Conn) {
	dropped := conn.Hijack()
	closeSoon(dropped.PgConn())
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		_ = dropped.Close(ctx)
	}()
}

// boundCancel limits each request to cancel a query to closeTimeout. pgx sends such a request through a connection of its own, which it
// opens with the DialFunc of the connection that runs the query.
func boundCancel(cfg *pgx.ConnConfig) {
	var established atomic.Bool
	cfg.AfterConnect = func(context.Context, *pgconn.PgConn) error {
		established.Store(true)
		return nil
	}
	dial := cfg.DialFunc
	cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if !established.Load() {
			return dial(ctx, network, addr)
		}
		end := time.Now().Add(closeTimeout)
		ctx, cancel := context.WithDeadline(ctx, end)
		defer cancel()
		conn, err := dial(ctx, network, addr)
		if err == nil {
			time.AfterFunc(time.Until(end), func() { _ = conn.Close() })
		}
		return conn, err
	}
}

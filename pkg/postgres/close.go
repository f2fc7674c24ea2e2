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

// closeTime bounds the farewell of a connection: its last message, the server's end of it, and the request to cancel a
// query. pgx itself allows 15 seconds.
const closeTime = time.Second

// closeSoon closes the socket of a connection at the end of closeTime, whatever pgx waits for.
func closeSoon(conn *pgconn.PgConn) {
	socket := conn.Conn()
	time.AfterFunc(closeTime, func() { _ = socket.Close() })
}

// discard takes a connection out of the pool, which frees its place at once, and closes it in the background.
func discard(conn *pgxpool.Conn) {
	dropped := conn.Hijack()
	closeSoon(dropped.PgConn())
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTime)
		defer cancel()
		_ = dropped.Close(ctx)
	}()
}

// boundCancel bounds the time of a request to cancel a query. pgx makes a connection for it with the DialFunc of the one
// that has the query.
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
		end := time.Now().Add(closeTime)
		ctx, cancel := context.WithDeadline(ctx, end)
		defer cancel()
		conn, err := dial(ctx, network, addr)
		if err == nil {
			time.AfterFunc(time.Until(end), func() { _ = conn.Close() })
		}
		return conn, err
	}
}

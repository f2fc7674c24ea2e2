package postgres

import (
	"context"
	"net"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
)

// probe queries the state of the database through a connection of its own. So it does not wait for requests. A busy replica must stay
// ready: otherwise the other replicas would get its requests and become busy too.
type probe struct {
	target     *atomic.Pointer[pgx.ConnConfig] // Changes with the URL.
	connConfig func() *pgx.ConnConfig          // Returns a configuration with the current certificates.
	sem        chan struct{}                   // Holds one element during a query.
	conn       *pgx.Conn                       // nil: none.
	config     *pgx.ConnConfig                 // The target from which conn was opened.
	closed     bool
}

func newProbe(target *atomic.Pointer[pgx.ConnConfig], connConfig func() *pgx.ConnConfig) *probe {
	return &probe{target: target, connConfig: connConfig, sem: make(chan struct{}, 1)}
}

// query runs one query at a time. If the connection is closed or does not answer within pingTimeout, query opens a new connection and
// runs the query again. Both steps together may take another pingTimeout.
func (p *probe) query(ctx context.Context, run func(context.Context, *pgx.Conn) error) error {
	select {
	case p.sem <- struct{}{}:
		defer func() { <-p.sem }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if p.closed {
		return net.ErrClosed
	}
	if p.conn != nil && p.config == p.target.Load() {
		if err := p.queryOpen(ctx, run); !p.conn.IsClosed() || ctx.Err() != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	if err := p.connect(ctx); err != nil {
		return err
	}
	return run(ctx, p.conn)
}

// queryOpen runs a query with the open connection, within pingTimeout.
func (p *probe) queryOpen(ctx context.Context, run func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return run(ctx, p.conn)
}

func (p *probe) connect(ctx context.Context) (err error) {
	p.drop()
	p.config = p.target.Load()
	p.conn, err = pgx.ConnectConfig(ctx, p.connConfig())
	return err
}

// drop closes the connection, if there is one.
func (p *probe) drop() {
	if p.conn != nil {
		closeSoon(p.conn.PgConn())
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		_ = p.conn.Close(ctx)
		p.conn = nil
	}
}

// close closes the connection after the current query. Later queries fail.
func (p *probe) close() {
	p.sem <- struct{}{}
	p.closed = true
	p.drop()
	<-p.sem
}

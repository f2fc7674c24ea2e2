package postgres

import (
	"context"
	"net"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
)

// probe asks about the database itself by a connection of its own, so that it waits for no request: a busy service is
// no reason to send requests elsewhere, where they make the others busy.
type probe struct {
	target *atomic.Pointer[pgx.ConnConfig] // what to connect to
	turn   chan struct{}                   // holds one element while somebody asks
	conn   *pgx.Conn                       // nil if there is none
	by     *pgx.ConnConfig                 // what conn was made by
	closed bool
}

func newProbe(target *atomic.Pointer[pgx.ConnConfig]) *probe {
	return &probe{target: target, turn: make(chan struct{}, 1)}
}

// ask puts a question, one at a time. A connection that does not answer within pingTime, or was closed since the last
// question, is replaced by a new one, which has the same time.
func (p *probe) ask(ctx context.Context, question func(context.Context, *pgx.Conn) error) error {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if p.closed {
		return net.ErrClosed
	}
	if p.conn != nil && p.by == p.target.Load() {
		if err := p.put(ctx, question); !p.conn.IsClosed() || ctx.Err() != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, pingTime)
	defer cancel()
	if err := p.connect(ctx); err != nil {
		return err
	}
	return question(ctx, p.conn)
}

func (p *probe) put(ctx context.Context, question func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, pingTime)
	defer cancel()
	return question(ctx, p.conn)
}

func (p *probe) connect(ctx context.Context) (err error) {
	p.drop()
	p.by = p.target.Load()
	cfg := p.by.Copy()
	boundCancel(cfg)
	p.conn, err = pgx.ConnectConfig(ctx, cfg)
	return err
}

// drop closes the connection, if there is one.
func (p *probe) drop() {
	if p.conn != nil {
		closeSoon(p.conn.PgConn())
		ctx, cancel := context.WithTimeout(context.Background(), closeTime)
		defer cancel()
		_ = p.conn.Close(ctx)
		p.conn = nil
	}
}

// close ends the probe, after the question that is being asked.
func (p *probe) close() {
	p.turn <- struct{}{}
	p.closed = true
	p.drop()
	<-p.turn
}

package postgres

import (
	"context"
	"net"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// probe asks about the database itself by a connection of its own, so that it waits for no request: a busy service is
// no reason to send requests elsewhere, where they make the others busy. It is no pool, which would keep the place of a
// connection that has stopped to answer for 15 seconds.
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

// ask puts a question, one at a time. A connection that was closed since the last one is no answer: the question is put
// again by a new one.
func (p *probe) ask(ctx context.Context, question func(*pgx.Conn) error) error {
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
		if err := question(p.conn); !p.conn.IsClosed() || ctx.Err() != nil {
			return err
		}
	}
	if err := p.connect(ctx); err != nil {
		return err
	}
	return question(p.conn)
}

func (p *probe) connect(ctx context.Context) (err error) {
	p.drop()
	p.by = p.target.Load()
	p.conn, err = pgx.ConnectConfig(ctx, p.by.Copy())
	return err
}

// drop closes the connection, if there is one.
func (p *probe) drop() {
	if p.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
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

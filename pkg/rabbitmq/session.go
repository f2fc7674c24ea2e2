package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// errClosed means that this process has closed the session.
var errClosed = errors.New("closed")

// session is a connection to the broker with one channel. A lost session is replaced by another one. A channel that the broker has closed
// because of a message is replaced within the session.
type session struct {
	// socket is used to end the session. amqp091-go holds its locks while a write stalls, and then can't close the connection itself.
	socket  net.Conn
	stream  *corkable // the socket, through TLS if it is configured
	conn    *amqp.Connection
	channel *channel // guarded by sending
	setUp   func(*amqp.Channel) error
	log     *slog.Logger
	broker  Broker
	// passive means that the session uses the exchange without declaring it, which is logged once. It is also guarded by sending.
	passive bool

	sending chan struct{} // holds one token while a batch is sent
	alarm   atomic.Pointer[string]

	endOnce sync.Once
	lost    chan struct{} // closed when the session ends
	cause   error         // why the session ended; valid after lost is closed
}

// open connects, logs in, opens a channel, declares the exchange, and calls setUp for each channel. It takes at most dialTimeout.
func open(
	ctx context.Context, broker Broker, name string, log *slog.Logger, setUp func(*amqp.Channel) error,
) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	socket, err := (&net.Dialer{Timeout: connectTimeout}).DialContext(ctx, "tcp", broker.address())
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	// amqp091-go does not accept a context, but fails when its socket is closed.
	stop := context.AfterFunc(ctx, func() { _ = socket.Close() })

	s := &session{
		socket: socket, setUp: setUp, log: log, broker: broker, sending: make(chan struct{}, 1), lost: make(chan struct{}),
	}
	err = s.handshake(ctx, name)
	if !stop() {
		err = fmt.Errorf("wait for the broker: %w", ctx.Err())
	}
	if err != nil {
		_ = socket.Close()
		return nil, err
	}
	s.watch()
	return s, nil
}

func (s *session) handshake(ctx context.Context, name string) error {
	stream, err := s.broker.secure(ctx, s.socket)
	if err != nil {
		return err
	}
	s.stream = &corkable{Conn: stream}
	if s.conn, err = amqp.Open(s.stream, s.broker.client(name)); err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	s.channel, err = s.openChannel()
	return err
}

// watch handles the broker's notifications. An unread notification would block the reader of amqp091-go.
func (s *session) watch() {
	closed := s.conn.NotifyClose(make(chan *amqp.Error, 1))
	blockings := s.conn.NotifyBlocked(make(chan amqp.Blocking, 1))
	go func() {
		if reason := <-closed; reason != nil {
			s.end(reason)
		}
		s.end(errClosed)
	}()
	go func() {
		for blocking := range blockings {
			s.setAlarm(blocking)
		}
	}()
}

func (s *session) setAlarm(blocking amqp.Blocking) {
	if blocking.Active {
		s.alarm.Store(&blocking.Reason)
		s.log.Warn("RabbitMQ accepts no messages", "reason", blocking.Reason)
		return
	}
	if s.alarm.Swap(nil) != nil {
		s.log.Info("RabbitMQ accepts messages again")
	}
}

// check returns nil while the session is open and the broker accepts messages. Errors: ErrNotConnected, ErrBlocked.
func (s *session) check() error {
	select {
	case <-s.lost:
		return ErrNotConnected
	default:
	}
	if reason := s.alarm.Load(); reason != nil {
		return fmt.Errorf("%w: %s", ErrBlocked, *reason)
	}
	return nil
}

// end ends the session immediately.
func (s *session) end(cause error) {
	s.endOnce.Do(func() {
		s.cause = cause
		close(s.lost)
		_ = s.socket.Close()
	})
}

// close closes the connection with a handshake, so that the broker reads everything that was sent. It takes at most closeTimeout.
func (s *session) close() {
	timer := time.AfterFunc(closeTimeout, func() { s.end(errClosed) })
	defer timer.Stop()
	_ = s.conn.Close()
	s.end(errClosed)
}

// run calls use, waits for the end of the session, and returns its cause. When ctx ends, it closes the session.
func (s *session) run(ctx context.Context, use func(*session)) error {
	stop := context.AfterFunc(ctx, s.close)
	defer stop()
	use(s)
	<-s.lost
	return s.cause
}

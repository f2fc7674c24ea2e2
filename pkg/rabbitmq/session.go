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

// errClosed is the cause of a session's end that we asked for.
var errClosed = errors.New("closed")

// session is one connection to the broker with one channel, from its opening to its
// loss. Another session takes its place then. A channel that the broker has closed because of one message is replaced.
type session struct {
	// socket is kept beside conn because amqp091-go holds its locks while a write stalls, and
	// then can't even close itself. To close the socket always works, and frees the rest.
	socket  net.Conn
	conn    *amqp.Connection
	channel *channel // who holds the token of sending may replace it
	prepare func(*amqp.Channel) error
	log     *slog.Logger
	cfg     Config // by which it was made
	// borrowed tells that the exchange can't be declared by us, which is logged once. Who opens the channel may set it.
	borrowed bool

	sending chan struct{} // holds one token while somebody publishes
	alarm   atomic.Pointer[string]

	ending sync.Once
	lost   chan struct{} // closed at the end
	cause  error         // why it ended; to be read when lost is closed
}

// open connects, logs in, opens a channel and declares the exchange. Then prepare does what else
// the channel needs. All of it takes at most dialTimeout, and ends early with ctx.
func open(ctx context.Context, cfg Config, name string, log *slog.Logger, prepare func(*amqp.Channel) error) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	socket, err := (&net.Dialer{Timeout: connectTimeout}).DialContext(ctx, "tcp", cfg.address())
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	// amqp091-go takes no context; without its socket it gives up at once.
	stop := context.AfterFunc(ctx, func() { _ = socket.Close() })

	s := &session{socket: socket, prepare: prepare, log: log, cfg: cfg, sending: make(chan struct{}, 1), lost: make(chan struct{})}
	err = s.shakeHands(ctx, cfg, name)
	if !stop() {
		err = fmt.Errorf("wait for the broker's answer: %w", ctx.Err())
	}
	if err != nil {
		_ = socket.Close()
		return nil, err
	}
	s.watch()
	return s, nil
}

func (s *session) shakeHands(ctx context.Context, cfg Config, name string) error {
	stream, err := cfg.secure(ctx, s.socket)
	if err != nil {
		return err
	}
	if s.conn, err = amqp.Open(stream, cfg.client(name)); err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	s.channel, err = s.openChannel()
	return err
}

// watch listens to what the broker says unasked. A notification that nobody takes
// would stop the client's reader.
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
		s.log.Warn("RabbitMQ takes no messages", "reason", blocking.Reason)
		return
	}
	if s.alarm.Swap(nil) != nil {
		s.log.Info("RabbitMQ takes messages again")
	}
}

// check returns nil while the session lives and the broker takes messages.
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

// end tears the session down, whatever state it is in, without waiting for anything.
func (s *session) end(cause error) {
	s.ending.Do(func() {
		s.cause = cause
		close(s.lost)
		_ = s.socket.Close()
	})
}

// close says goodbye to the broker, so that it has read all we sent, and ends the session
// after closeTimeout at the latest.
func (s *session) close() {
	timer := time.AfterFunc(closeTimeout, func() { s.end(errClosed) })
	defer timer.Stop()
	_ = s.conn.Close()
	s.end(errClosed)
}

// hold runs use, then waits for the session's loss and returns its cause. When ctx ends it
// closes the session.
func (s *session) hold(ctx context.Context, use func(*session)) error {
	stop := context.AfterFunc(ctx, s.close)
	defer stop()
	use(s)
	<-s.lost
	return s.cause
}

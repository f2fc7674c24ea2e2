package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// channelRejection is the broker's reason to close a channel because of one of the unconfirmed messages.
type channelRejection struct{ reason *amqp.Error }

func (c channelRejection) Error() string { return c.reason.Error() }

// receipt is the result of writing a message to the connection.
type receipt struct {
	channel      *channel
	confirmation *amqp.DeferredConfirmation
	sent         time.Time
	err          error
}

// acquire waits until no other batch is sent on the session, and replaces a closed channel. If it returns nil, the caller must call send,
// which releases the session.
func (s *session) acquire(ctx context.Context) error {
	if ctx.Err() != nil {
		return s.timeoutError(ctx)
	}
	select {
	case s.sending <- struct{}{}:
		err := s.replaceChannel(ctx)
		if err != nil {
			<-s.sending
		}
		return err
	case <-s.lost:
		return ErrNotConnected
	case <-ctx.Done():
		return fmt.Errorf("wait for another batch: %w", ctx.Err())
	}
}

// send writes the messages of a queue in order until ctx ends, and returns their receipts. It writes in another goroutine, because a
// stalled write ends only with the session. The connection collects the messages into large writes. If a write stalls, the receipts of all
// later messages are missing until then.
func (s *session) send(ctx context.Context, queue <-chan message) <-chan receipt {
	receipts := make(chan receipt, cap(queue)) // buffered, so that the goroutine ends without a reader
	go func() {
		defer func() { <-s.sending }()
		s.stream.cork()
		for m := range queue {
			receipts <- s.write(ctx, m.publishing)
		}
		if err := s.stream.uncork(); err != nil {
			s.end(err)
		}
	}()
	return receipts
}

func (s *session) write(ctx context.Context, publishing amqp.Publishing) receipt {
	const mandatory, immediate = true, false
	sent := time.Now()
	channel := s.channel
	confirmation, err := channel.PublishWithDeferredConfirmWithContext(
		ctx, Exchange, publishing.Type, mandatory, immediate, publishing)
	switch {
	case err == nil:
	case errors.Is(err, ctx.Err()): // the message was not sent
		err = s.timeoutError(ctx)
	case channel.IsClosed():
		err = s.closedChannel(ctx, channel)
	default:
		err = fmt.Errorf("%w: %w", ErrConnectionLost, err)
	}
	return receipt{channel: channel, confirmation: confirmation, sent: sent, err: err}
}

// closedChannel returns the error for a message without a confirm on a closed channel.
func (s *session) closedChannel(ctx context.Context, c *channel) error {
	select {
	case <-c.closed:
		if c.rejection != nil {
			return channelRejection{c.rejection}
		}
		<-s.lost
	case <-s.lost:
	case <-ctx.Done():
		return s.timeOut(ctx)
	}
	return fmt.Errorf("%w: %w", ErrConnectionLost, s.cause)
}

// next returns the next receipt and its error, or the error of timeOut if ctx ends first.
func (s *session) next(ctx context.Context, receipts <-chan receipt) (receipt, error) {
	select {
	case r := <-receipts:
		return r, r.err
	default:
	}
	select {
	case r := <-receipts:
		return r, r.err
	case <-ctx.Done():
		return receipt{}, s.timeOut(ctx)
	}
}

// confirm waits for the broker's confirm of a message.
func (s *session) confirm(ctx context.Context, r receipt) error {
	select {
	case <-r.confirmation.Done():
	case <-s.lost:
	case <-ctx.Done():
	}
	switch {
	case r.confirmation.Acked():
		return nil
	case r.channel.IsClosed(): // amqp091-go then reports all open confirmations as refused
		return s.closedChannel(ctx, r.channel)
	case ctx.Err() != nil:
		return s.timeOut(ctx)
	default:
		return ErrNacked
	}
}

// timeOut ends a session whose broker has not responded in time, and returns the error. A session of a blocked broker is kept, because a
// new connection would be blocked too.
func (s *session) timeOut(ctx context.Context) error {
	err := s.timeoutError(ctx)
	if !errors.Is(err, ErrBlocked) {
		s.end(err)
	}
	return err
}

// timeoutError returns the error for a confirm that did not come before the end of ctx.
func (s *session) timeoutError(ctx context.Context) error {
	if err := s.check(); errors.Is(err, ErrBlocked) {
		return err
	}
	return fmt.Errorf("wait for the broker: %w", context.Cause(ctx))
}

package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// channelRejection is the broker's reason to close a channel. One of the messages that were on their way was the cause.
type channelRejection struct{ reason *amqp.Error }

func (c channelRejection) Error() string { return c.reason.Error() }

// receipt is what is known of a message after it was written to the connection.
type receipt struct {
	channel      *channel
	confirmation *amqp.DeferredConfirmation
	sent         time.Time
	err          error
}

// acquire waits until nobody else publishes on the session, and sees to it that there is a channel. Without an
// error, send must follow, which releases it.
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

// send writes the messages in their order, until ctx ends, in a goroutine of its own:
// a write to a connection that stalls can be ended only by ending the session. One receipt for each
// message comes out, unless a write stalls.
func (s *session) send(ctx context.Context, batch []message) <-chan receipt {
	receipts := make(chan receipt, len(batch)) // so that the goroutine ends even if nobody reads
	go func() {
		defer func() { <-s.sending }()
		for _, m := range batch {
			receipts <- s.write(ctx, m.publishing)
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
	case errors.Is(err, ctx.Err()): // it was not sent
		err = s.timeoutError(ctx)
	case channel.IsClosed():
		err = s.closedChannel(ctx, channel)
	default:
		err = fmt.Errorf("%w: %w", ErrConnectionLost, err)
	}
	return receipt{channel: channel, confirmation: confirmation, sent: sent, err: err}
}

// closedChannel returns why there is no confirm on a channel that is closed.
func (s *session) closedChannel(ctx context.Context, c *channel) error {
	select {
	case <-c.closed:
		if c.rejection != nil {
			return channelRejection{c.rejection}
		}
		<-s.lost
	case <-s.lost:
	case <-ctx.Done():
		return s.giveUp(ctx)
	}
	return fmt.Errorf("%w: %w", ErrConnectionLost, s.cause)
}

// next returns the next receipt, or an error if ctx ends first.
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
		return receipt{}, s.giveUp(ctx)
	}
}

// confirm waits for the broker's answer to a message that was sent.
func (s *session) confirm(ctx context.Context, r receipt) error {
	select {
	case <-r.confirmation.Done():
	case <-s.lost:
	case <-ctx.Done():
	}
	switch {
	case r.confirmation.Acked():
		return nil
	case r.channel.IsClosed(): // amqp091-go ends all open confirmations then, as if refused
		return s.closedChannel(ctx, r.channel)
	case ctx.Err() != nil:
		return s.giveUp(ctx)
	default:
		return ErrNacked
	}
}

// giveUp ends a session whose broker has not answered in time, and returns the error that
// tells so. A broker that has said that it blocks is not to blame, and its connection
// is kept: a new one would be blocked too.
func (s *session) giveUp(ctx context.Context) error {
	err := s.timeoutError(ctx)
	if !errors.Is(err, ErrBlocked) {
		s.end(err)
	}
	return err
}

// timeoutError returns why the end of ctx came before a confirm.
func (s *session) timeoutError(ctx context.Context) error {
	if err := s.check(); errors.Is(err, ErrBlocked) {
		return err
	}
	return fmt.Errorf("wait for the broker: %w", context.Cause(ctx))
}

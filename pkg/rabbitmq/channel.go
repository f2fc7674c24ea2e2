package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// channel is one AMQP channel of a session.
type channel struct {
	*amqp.Channel

	closed chan struct{} // closed when the channel is
	// rejection is why the broker has closed the channel, if it was because of one message. To be read when closed is closed.
	rejection *amqp.Error
}

// openChannel opens a channel on which the exchange is declared. Then prepare does what else the channel needs.
func (s *session) openChannel() (*channel, error) {
	opened, err := s.declareExchange()
	if err != nil {
		return nil, err
	}
	c := &channel{Channel: opened, closed: make(chan struct{})}
	if err := s.prepare(opened); err != nil {
		return nil, err
	}
	go c.watch(s, opened.NotifyClose(make(chan *amqp.Error, 1)))
	return c, nil
}

// declareExchange returns a channel, and makes sure that the exchange is there. An exchange that was declared with other arguments,
// such as an alternate exchange, or that our user may not declare, is used as it is.
func (s *session) declareExchange() (*amqp.Channel, error) {
	opened, err := s.conn.Channel()
	if err != nil {
		return nil, fmt.Errorf("open a channel: %w", err)
	}
	const durable, autoDelete, internal, noWait = true, false, false, false
	refused := opened.ExchangeDeclare(Exchange, amqp.ExchangeTopic, durable, autoDelete, internal, noWait, nil)
	switch answer := (*amqp.Error)(nil); {
	case refused == nil:
		return opened, nil
	case !errors.As(refused, &answer) || answer.Code != amqp.PreconditionFailed && answer.Code != amqp.AccessRefused:
		return nil, fmt.Errorf("declare the exchange %s: %w", Exchange, refused)
	}
	if opened, err = s.conn.Channel(); err != nil { // the broker has closed the first one
		return nil, fmt.Errorf("open a channel: %w", err)
	}
	if err = opened.ExchangeDeclarePassive(Exchange, amqp.ExchangeTopic, durable, autoDelete, internal, noWait, nil); err != nil {
		return nil, fmt.Errorf("declare the exchange %s: %w; find it: %w", Exchange, refused, err)
	}
	if !s.borrowed {
		s.log.Info("the exchange can't be declared and is used as it is", "exchange", Exchange, "reason", refused)
	}
	s.borrowed = true
	return opened, nil
}

// watch waits for the channel's end, which is the end of the session unless one message was the reason.
func (c *channel) watch(s *session, closed <-chan *amqp.Error) {
	reason := <-closed
	switch {
	case reason == nil:
		s.end(errClosed)
	case isRejection(reason) && !s.conn.IsClosed():
		c.rejection = reason
	default:
		s.end(reason)
	}
	close(c.closed)
}

// isRejection reports whether the broker closed a channel because of the message that it got, and would take others.
// RabbitMQ does so with a message that is over its max_message_size, and with a topic that our user may not write to.
// A right to write to the exchange that is missing, or an exchange that is missing, concerns all messages.
func isRejection(reason *amqp.Error) bool {
	switch reason.Code {
	case amqp.PreconditionFailed, amqp.ContentTooLarge:
		return true
	case amqp.AccessRefused:
		return strings.Contains(reason.Reason, "to topic")
	default:
		return false
	}
}

// replaceChannel opens another channel if the broker has closed the current one because of a message. The caller
// holds the token of sending. If ctx ends first, so does the session.
func (s *session) replaceChannel(ctx context.Context) error {
	if !s.channel.IsClosed() {
		return nil
	}
	if err := s.closedChannel(ctx, s.channel); !errors.As(err, new(channelRejection)) {
		return err
	}
	stop := context.AfterFunc(ctx, func() { s.end(ctx.Err()) })
	defer stop()
	replacement, err := s.openChannel()
	if err != nil {
		s.end(err)
		return fmt.Errorf("%w: %w", ErrConnectionLost, err)
	}
	s.channel = replacement
	return nil
}

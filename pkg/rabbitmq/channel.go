package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// channel is an AMQP channel of a session.
type channel struct {
	*amqp.Channel

	closed chan struct{} // closed with the channel
	// rejection is the broker's reason to close the channel, if a message was the reason. It is valid after closed is closed.
	rejection *amqp.Error
}

// openChannel opens a channel, declares the exchange, and calls setUp.
func (s *session) openChannel() (*channel, error) {
	opened, err := s.declareExchange()
	if err != nil {
		return nil, err
	}
	c := &channel{Channel: opened, closed: make(chan struct{})}
	if err := s.setUp(opened); err != nil {
		return nil, err
	}
	go c.watch(s, opened.NotifyClose(make(chan *amqp.Error, 1)))
	return c, nil
}

var errDeclare = errors.New("declare the exchange " + Exchange)

// declareExchange returns a channel after it has declared the exchange. It uses an existing exchange unchanged if the user may not
// declare it, or if it has other arguments, such as an alternate exchange.
func (s *session) declareExchange() (*amqp.Channel, error) {
	opened, err := s.conn.Channel()
	if err != nil {
		return nil, fmt.Errorf("open a channel: %w", err)
	}
	const durable, autoDelete, internal, noWait = true, false, false, false
	refused := opened.ExchangeDeclare(Exchange, amqp.ExchangeTopic, durable, autoDelete, internal, noWait, nil)
	switch amqpErr := (*amqp.Error)(nil); {
	case refused == nil:
		return opened, nil
	case !errors.As(refused, &amqpErr) || amqpErr.Code != amqp.PreconditionFailed && amqpErr.Code != amqp.AccessRefused:
		return nil, fmt.Errorf("%w: %w", errDeclare, refused)
	}
	if opened, err = s.conn.Channel(); err != nil { // the broker has closed the first one
		return nil, fmt.Errorf("open a channel: %w", err)
	}
	if err = opened.ExchangeDeclarePassive(Exchange, amqp.ExchangeTopic, durable, autoDelete, internal, noWait, nil); err != nil {
		return nil, fmt.Errorf("%w: %w; find it: %w", errDeclare, refused, err)
	}
	if !s.passive {
		s.log.Info("the exchange can't be declared and is used as it is", "exchange", Exchange, "reason", refused)
	}
	s.passive = true
	return opened, nil
}

// watch waits until the channel is closed. It then ends the session, unless the broker closed the channel because of a message.
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

// isRejection reports whether the broker closed a channel because of a message, and would accept others. RabbitMQ does so for a message
// over its max_message_size, and for a topic without write permission. A missing exchange and a missing permission to write to it affect
// all messages.
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

// replaceChannel opens another channel if the broker has closed the current one because of a message. The caller must hold the token of
// s.sending. If ctx ends before the channel is open, the session ends too.
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

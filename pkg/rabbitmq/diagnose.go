package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Diagnosis has the reasons why the service can't use a broker. After a failed check, the later checks are not made.
type Diagnosis struct {
	Reach    error  // It can't connect or log in.
	Exchange error  // It can neither declare nor find the exchange.
	Write    error  // It may not publish events.
	Type     string // The type of event that Write is about; empty if Write is about all types.
}

// Diagnose connects to a broker as the service does, declares the exchange, and checks the permission to publish events of these types. It
// publishes nothing: it rolls the AMQP transaction back after the broker has checked the permission.
func Diagnose(ctx context.Context, broker Broker, types []string, log *slog.Logger) (d Diagnosis) {
	s, err := open(ctx, broker, productName+" doctor", log, func(*amqp.Channel) error { return nil })
	if errors.Is(err, errDeclare) {
		d.Exchange = err
		return d
	}
	if d.Reach = err; err != nil {
		return d
	}
	defer s.close()
	for i, typ := range types {
		if d.Write = s.tryWrite(ctx, typ); d.Write != nil {
			if i > 0 {
				d.Type = typ
			}
			return d
		}
	}
	return d
}

// tryWrite checks the permission to publish an event of a type. It publishes nothing.
func (s *session) tryWrite(ctx context.Context, typ string) error {
	channel, err := s.conn.Channel()
	if err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	defer func() { _ = channel.Close() }()
	if err := channel.Tx(); err != nil {
		return fmt.Errorf("begin a transaction: %w", err)
	}
	const mandatory, immediate = false, false
	if err := channel.PublishWithContext(ctx, Exchange, typ, mandatory, immediate, amqp.Publishing{}); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if err := channel.TxRollback(); err != nil { // the broker checks the permission first
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

// QueueState describes a queue.
type QueueState struct{ Messages, Consumers int }

// FindQueue returns the state of a queue. found is false if the queue does not exist. Errors: the broker is unavailable or refuses the
// user.
func FindQueue(ctx context.Context, broker Broker, name string, log *slog.Logger) (state QueueState, found bool, err error) {
	s, err := open(ctx, broker, productName+" doctor", log, func(channel *amqp.Channel) error {
		const durable, autoDelete, exclusive, noWait = true, false, false, false
		queue, err := channel.QueueDeclarePassive(name, durable, autoDelete, exclusive, noWait, nil)
		state = QueueState{queue.Messages, queue.Consumers}
		return err
	})
	var refused *amqp.Error
	switch {
	case errors.As(err, &refused) && refused.Code == amqp.NotFound:
		return state, false, nil
	case err != nil:
		return state, false, err
	}
	s.close()
	return state, true, nil
}

package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	amqp "github.com/rabbitmq/amqp091-go"
)

// setBroker stores the settings for the next connection. If there is a connection now, setBroker first tests the new settings.
func setBroker(
	ctx context.Context, broker *atomic.Pointer[Broker], current *atomic.Pointer[session], next Broker, log *slog.Logger,
) error {
	if next == *broker.Load() {
		return nil
	}
	if current.Load() != nil {
		if err := testConnection(ctx, next, log); err != nil {
			return err
		}
	}
	broker.Store(&next)
	closeIfOutdated(current.Load(), next)
	return nil
}

// closeIfOutdated closes a session whose broker or user differs from the settings in want. Run then opens the next session.
func closeIfOutdated(s *session, want Broker) {
	if s == nil {
		return
	}
	want.Password = s.broker.Password // an open connection does not need the new password
	if want != s.broker {
		s.close()
	}
}

// testConnection opens and closes a connection with new settings.
func testConnection(ctx context.Context, broker Broker, log *slog.Logger) error {
	s, err := open(ctx, broker, productName, log, func(*amqp.Channel) error { return nil })
	if amqpErr := (*amqp.Error)(nil); errors.As(err, &amqpErr) {
		return fmt.Errorf("is refused by the broker with the code %d", amqpErr.Code)
	}
	if err != nil {
		return errors.New("does not lead to a broker that responds")
	}
	s.close()
	return nil
}

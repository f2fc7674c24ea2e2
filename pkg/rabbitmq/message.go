package rabbitmq

import (
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.opentelemetry.io/otel/trace"

	"user-service/pkg/event"
)

// maxType is what a routing key can hold (AMQP 0-9-1, section 4.2.5.3, short strings).
const maxType = 255

// message is one event on its way.
type message struct {
	index      int // in the slice that Publish was called with
	publishing amqp.Publishing
	span       trace.Span
}

// encode puts the event into the form of the contract: a persistent message whose body is the
// CloudEvent, in structured mode.
func encode(e event.Event) (amqp.Publishing, error) {
	if len(e.Type) > maxType {
		return amqp.Publishing{}, fmt.Errorf("%w: a type of %d bytes is no routing key (%d at most)", ErrRejected, len(e.Type), maxType)
	}
	body, err := e.CloudEvent()
	if err != nil {
		return amqp.Publishing{}, fmt.Errorf("%w: %w", ErrRejected, err)
	}
	return amqp.Publishing{
		ContentType:  event.ContentType,
		DeliveryMode: amqp.Persistent,
		MessageId:    e.ID.String(),
		Timestamp:    e.Time,
		Type:         string(e.Type),
		AppId:        product,
		Body:         body,
	}, nil
}

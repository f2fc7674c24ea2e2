package rabbitmq

import (
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.opentelemetry.io/otel/trace"

	"user-service/pkg/event"
)

// maxType is the longest routing key in bytes (AMQP 0-9-1 section 4.2.5.3, short strings).
const maxType = 255

// subjectHeader is the header with the user's id, by which a consistent hash exchange distributes events to queues.
const subjectHeader = "subject"

// message is an event that is being published.
type message struct {
	index      int // in the argument of Publish
	publishing amqp.Publishing
	span       trace.Span
}

// encode returns a persistent message whose body is the CloudEvent in structured mode.
func encode(e event.Event) (amqp.Publishing, error) {
	if len(e.Type) > maxType {
		return amqp.Publishing{},
			fmt.Errorf("%w: the type has %d bytes, and a routing key has at most %d", ErrRejected, len(e.Type), maxType)
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
		AppId:        productName,
		Headers:      amqp.Table{subjectHeader: e.Subject.String()},
		Body:         body,
	}, nil
}

package rabbitmq

import (
	"context"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"user-service/pkg/event"
)

// propagator writes and reads W3C trace context (https://www.w3.org/TR/trace-context/).
var propagator = propagation.TraceContext{}

func newTracer() trace.Tracer {
	return otel.Tracer("user-service/pkg/rabbitmq", trace.WithSchemaURL(semconv.SchemaURL))
}

// startSpan starts the span of one publishing, by OpenTelemetry's conventions for messaging,
// as a child of the request that made the event. Its context goes into the message's headers; the
// CloudEvent in the body keeps the context of the request.
func (p *Publisher) startSpan(ctx context.Context, e event.Event, publishing *amqp.Publishing) trace.Span {
	cfg := p.cfg.Load()
	ctx = propagator.Extract(ctx, propagation.MapCarrier{"traceparent": e.Traceparent})
	ctx, span := p.tracer.Start(ctx, "publish "+Exchange,
		trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithAttributes(
			semconv.MessagingSystemRabbitMQ,
			semconv.MessagingOperationTypeSend,
			semconv.MessagingOperationName("publish"),
			semconv.MessagingDestinationName(Exchange),
			semconv.MessagingRabbitMQDestinationRoutingKey(string(e.Type)),
			semconv.MessagingMessageID(publishing.MessageId),
			semconv.MessagingMessageBodySize(len(publishing.Body)),
			semconv.ServerAddress(cfg.Host),
			semconv.ServerPort(cfg.Port),
		))
	headers := propagation.MapCarrier{}
	propagator.Inject(ctx, headers)
	for key, value := range headers {
		if publishing.Headers == nil {
			publishing.Headers = amqp.Table{}
		}
		publishing.Headers[key] = value
	}
	return span
}

// endSpan ends the span with what became of the message.
func endSpan(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
		span.SetAttributes(semconv.ErrorType(err))
	}
	span.End()
}

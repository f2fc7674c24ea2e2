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

// startSpan starts the span of publishing an event, as a child of the request that made the change. It follows OpenTelemetry's
// conventions for messaging. The message's headers carry the trace context of this span. The CloudEvent in the body carries the trace
// context of the request.
func (p *Publisher) startSpan(ctx context.Context, e event.Event, publishing *amqp.Publishing) trace.Span {
	if e.Traceparent != "" {
		ctx = propagator.Extract(ctx, propagation.MapCarrier{"traceparent": e.Traceparent})
	}
	ctx, span := p.tracer.Start(ctx, "publish "+Exchange, trace.WithSpanKind(trace.SpanKindProducer))
	if span.IsRecording() {
		broker := p.broker.Load()
		span.SetAttributes(
			semconv.MessagingSystemRabbitMQ,
			semconv.MessagingOperationTypeSend,
			semconv.MessagingOperationName("publish"),
			semconv.MessagingDestinationName(Exchange),
			semconv.MessagingRabbitMQDestinationRoutingKey(string(e.Type)),
			semconv.MessagingMessageID(publishing.MessageId),
			semconv.MessagingMessageBodySize(len(publishing.Body)),
			semconv.ServerAddress(broker.Host),
			semconv.ServerPort(broker.Port),
		)
	}
	if !span.SpanContext().IsValid() {
		return span
	}
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

// startSpan starts the span of handling a message, as a child of the span that published it.
func (c *Consumer) startSpan(ctx context.Context, delivery amqp.Delivery) (context.Context, trace.Span) {
	headers := propagation.MapCarrier{}
	for _, name := range propagator.Fields() {
		if value, ok := delivery.Headers[name].(string); ok {
			headers[name] = value
		}
	}
	broker := c.broker.Load()
	return c.tracer.Start(propagator.Extract(ctx, headers), "process "+c.queue.Name,
		trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(
			semconv.MessagingSystemRabbitMQ,
			semconv.MessagingOperationTypeProcess,
			semconv.MessagingOperationName("process"),
			semconv.MessagingDestinationName(c.queue.Name),
			semconv.MessagingRabbitMQDestinationRoutingKey(delivery.Type),
			semconv.MessagingMessageID(delivery.MessageId),
			semconv.MessagingMessageBodySize(len(delivery.Body)),
			semconv.ServerAddress(broker.Host),
			semconv.ServerPort(broker.Port),
		))
}

// endSpan ends the span with the result of publishing, or of handling a message.
func endSpan(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
		span.SetAttributes(semconv.ErrorType(err))
	}
	span.End()
}

package rabbitmq_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	amqp "github.com/rabbitmq/amqp091-go"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	api "go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"user-service/pkg/event"
	"user-service/pkg/rabbitmq"
)

// TestTracing is not parallel, because it sets the global tracer provider.
func TestTracing(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	otel.SetTracerProvider(trace.NewTracerProvider(trace.WithSyncer(spans)))
	t.Cleanup(func() { otel.SetTracerProvider(noop.NewTracerProvider()) })
	cfg := broker(t)
	p := start(t, cfg, nil)

	full := randomType()
	channel := dial(t)
	queue := declare(t, channel, full, amqp.Table{"x-max-length": 1, "x-overflow": "reject-publish"})
	events := newEvents(t, full, 2)
	events[0].Traceparent = traceparent
	p.Publish(t.Context(), events)

	got := spans.GetSpans()
	if len(got) != 2 {
		t.Fatalf("%d spans, want 2", len(got))
	}
	first, second := got[0], got[1]
	if first.Name != "publish user_events" || first.SpanKind != api.SpanKindProducer {
		t.Errorf("span %q of kind %v", first.Name, first.SpanKind)
	}
	if first.SpanContext.TraceID().String() != traceparent[3:35] || first.Parent.SpanID().String() != traceparent[36:52] {
		t.Errorf("trace %s, parent %s; want those of %s", first.SpanContext.TraceID(), first.Parent.SpanID(), traceparent)
	}
	if diff := cmp.Diff(attributesOf(t, events[0], cfg), asMap(first.Attributes)); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	if first.Status.Code != codes.Unset {
		t.Errorf("status of a confirmed event: %+v", first.Status)
	}
	if second.Parent.IsValid() || second.Status.Code != codes.Error || second.Status.Description != rabbitmq.ErrNacked.Error() {
		t.Errorf("second span has parent %v and status %+v; want none, and ErrNacked", second.Parent, second.Status)
	}

	delivery, ok, err := channel.Get(queue, true)
	if err != nil || !ok {
		t.Fatalf("get: %t, %v", ok, err)
	}
	header := "00-" + first.SpanContext.TraceID().String() + "-" + first.SpanContext.SpanID().String() + "-01"
	if diff := cmp.Diff(amqp.Table{"traceparent": header, "subject": events[0].Subject.String()}, delivery.Headers); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	if body, _ := events[0].CloudEvent(); string(body) != string(delivery.Body) {
		t.Errorf("body %s, want the event's own traceparent in %s", delivery.Body, body)
	}
}

// TestTheSpanOfAConsumer is not parallel, because it sets the global tracer provider.
func TestTheSpanOfAConsumer(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	otel.SetTracerProvider(trace.NewTracerProvider(trace.WithSyncer(spans)))
	t.Cleanup(func() { otel.SetTracerProvider(noop.NewTracerProvider()) })
	d := startConsumer(t, broker(t), func(body string) (rabbitmq.Disposition, string) {
		if body == "refused" {
			return rabbitmq.Park, "a reason"
		}
		return rabbitmq.Done, ""
	})
	d.publish("accepted", amqp.Table{"traceparent": traceparent})
	d.await("the first span", func() bool { return len(spans.GetSpans()) == 1 })
	d.publish("refused", nil)
	d.parked()
	d.await("both spans", func() bool { return len(spans.GetSpans()) == 2 })

	first, second := spans.GetSpans()[0], spans.GetSpans()[1]
	if first.Name != "process "+d.queue.Name || first.SpanKind != api.SpanKindConsumer || first.Status.Code != codes.Unset {
		t.Errorf("span %q of kind %v with status %+v", first.Name, first.SpanKind, first.Status)
	}
	if first.SpanContext.TraceID().String() != traceparent[3:35] || first.Parent.SpanID().String() != traceparent[36:52] {
		t.Errorf("trace %s, parent %s; want those of %s", first.SpanContext.TraceID(), first.Parent.SpanID(), traceparent)
	}
	if second.Parent.IsValid() || second.Status.Code != codes.Error || second.Status.Description != "a reason" {
		t.Errorf("second span has parent %v and status %+v", second.Parent, second.Status)
	}
}

// attributesOf returns the attributes of OpenTelemetry's conventions for messaging.
func attributesOf(t *testing.T, e event.Event, cfg rabbitmq.Broker) map[string]any {
	t.Helper()
	body, err := e.CloudEvent()
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{
		"messaging.system":                           "rabbitmq",
		"messaging.operation.type":                   "send",
		"messaging.operation.name":                   "publish",
		"messaging.destination.name":                 "user_events",
		"messaging.rabbitmq.destination.routing_key": string(e.Type),
		"messaging.message.id":                       e.ID.String(),
		"messaging.message.body.size":                int64(len(body)),
		"server.address":                             cfg.Host,
		"server.port":                                int64(cfg.Port),
	}
}

func asMap(attributes []attribute.KeyValue) map[string]any {
	values := make(map[string]any)
	for _, a := range attributes {
		values[string(a.Key)] = a.Value.AsInterface()
	}
	return values
}

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.opentelemetry.io/otel/trace"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
)

// The trace of the caller, the caller's span that calls the service, and the header traceparent with both.
const (
	callersTrace  = "4bf92f3577b34da6a3ce929d0e0e4736"
	callersSpan   = "00f067aa0ba902b7"
	callersHeader = "00-" + callersTrace + "-" + callersSpan + "-01"
)

func TestOneTraceFromTheRequestThroughSQLToTheMessage(t *testing.T) {
	t.Parallel()
	received := newReceiver(t)
	messages := newConsumer(t)
	s := startService(t,
		map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": received.URL, "LOG_LEVEL": "debug", "TRUSTED_PROXIES": "127.0.0.1"})
	const email = "traced@example.com"
	id := s.register(t, email, callersHeader)
	message := messages.about(t, id)
	s.stop(t) // exports the remaining spans

	spans := received.trace(callersTrace)
	insert := spans.sql(t, "INSERT INTO outbox")
	server := spans.find(t, "POST /register around the INSERT", func(s *traces.Span) bool { // register may have sent two requests
		return s.GetName() == "POST /register" && s.GetKind() == traces.Span_SPAN_KIND_SERVER && spans.isWithin(insert, s)
	})
	if spanID(server.GetParentSpanId()) != callersSpan {
		t.Errorf("the parent of the server's span is %s, not the caller's span", spanID(server.GetParentSpanId()))
	}
	publish := spans.named(t, "publish user_events", traces.Span_SPAN_KIND_PRODUCER)
	if !spans.isWithin(publish, server) {
		t.Errorf("the span %s of the publishing is not below the server's span, want it there", publish)
	}
	if strings.Contains(fmt.Sprint(spans), email) {
		t.Errorf("the trace contains personal data: %v", spans)
	}
	checkMessage(t, message, spanID(publish.GetParentSpanId()), spanID(publish.GetSpanId()))
	checkRequestLine(t, s.log.String(), spanID(server.GetSpanId()))
}

// TestAnUntrustedTraceBecomesALink checks that a client outside TRUSTED_PROXIES determines neither the trace nor the sampling.
func TestAnUntrustedTraceBecomesALink(t *testing.T) {
	t.Parallel()
	received := newReceiver(t)
	messages := newConsumer(t)
	s := startService(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": received.URL, "TRUSTED_PROXIES": "192.0.2.1"})
	message := messages.about(t, s.register(t, "untrusted@example.com", callersHeader))
	s.stop(t)
	if spans := received.trace(callersTrace); len(spans) > 0 {
		t.Errorf("%d spans are in the trace of the untrusted caller, want none", len(spans))
	}
	got := traceparentOf(t, message)
	// register may have sent two requests
	server := received.all().find(t, "POST /register in the trace of the event", func(s *traces.Span) bool {
		return s.GetName() == "POST /register" && strings.HasPrefix(got, "00-"+trace.TraceID(s.GetTraceId()).String()+"-")
	})
	if links := server.GetLinks(); len(links) != 1 || trace.TraceID(links[0].GetTraceId()).String() != callersTrace {
		t.Errorf("the span of the request has the links %v, want the caller's span", links)
	}
}

func TestAnUntrustedClientDoesNotDecideSampling(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		ratio, flags string
		recorded     bool
	}{
		"sampled, where nothing is recorded":      {"0", "01", false},
		"not sampled, where everything is traced": {"1", "00", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			received := newReceiver(t)
			messages := newConsumer(t)
			s := startService(t, map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": received.URL, "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
				"OTEL_TRACES_SAMPLER_ARG": test.ratio,
			})
			message := messages.about(t, s.register(t, "sampled@example.com", strings.TrimSuffix(callersHeader, "01")+test.flags))
			s.stop(t)
			requests := slices.DeleteFunc(received.all(), func(s *traces.Span) bool { return s.GetName() != "POST /register" })
			if recorded := len(requests) > 0; recorded != test.recorded {
				t.Errorf("the request is recorded: %t, want %t", recorded, test.recorded)
			}
			if got := traceparentOf(t, message); strings.Contains(got, callersTrace) || strings.HasSuffix(got, "-01") != test.recorded {
				t.Errorf("the event's traceparent is %q, want a trace of the service's own that is recorded: %t", got, test.recorded)
			}
		})
	}
}

// TestWithoutTracingAnUntrustedTraceIsNotPropagated checks that only the trace of a trusted proxy is propagated.
func TestWithoutTracingAnUntrustedTraceIsNotPropagated(t *testing.T) {
	t.Parallel()
	for proxies, want := range map[string]string{"192.0.2.1": "", "127.0.0.1": callersHeader} {
		t.Run(proxies, func(t *testing.T) {
			t.Parallel()
			messages := newConsumer(t)
			s := startService(t, map[string]string{"TRUSTED_PROXIES": proxies})
			if got := traceparentOf(t, messages.about(t, s.register(t, "untraced@example.com", callersHeader))); got != want {
				t.Errorf("the event's traceparent is %q, want %q", got, want)
			}
			s.stop(t)
		})
	}
}

func traceparentOf(t *testing.T, message amqp.Delivery) string {
	t.Helper()
	var event struct{ Traceparent string }
	if err := json.Unmarshal(message.Body, &event); err != nil {
		t.Fatal(err)
	}
	return event.Traceparent
}

// checkMessage checks that the event has the span of the change, and the message has the span of the publishing.
func checkMessage(t *testing.T, message amqp.Delivery, change, publishing string) {
	t.Helper()
	if got, want := traceparentOf(t, message), fmt.Sprintf("00-%s-%s-01", callersTrace, change); got != want {
		t.Errorf("the event's traceparent is %q, want %q", got, want)
	}
	if want := fmt.Sprintf("00-%s-%s-01", callersTrace, publishing); message.Headers["traceparent"] != want {
		t.Errorf("the message's traceparent is %q, want %q", message.Headers["traceparent"], want)
	}
}

// checkRequestLine checks that the log line of the request has the trace.
func checkRequestLine(t *testing.T, log, span string) {
	t.Helper()
	for line := range strings.Lines(log) {
		// register may have sent two requests
		if !strings.Contains(line, `"route":"/register"`) || !strings.Contains(line, `"status":201`) {
			continue
		}
		for _, want := range []string{`"trace_id":"` + callersTrace + `"`, `"span_id":"` + span + `"`, `"request_id":"traced-request"`} {
			if !strings.Contains(line, want) {
				t.Errorf("%s is not in %s", want, line)
			}
		}
		return
	}
	t.Errorf("the request is not logged:\n%s", log)
}

// consumer receives the messages of a queue for user.created.
type consumer <-chan amqp.Delivery

func newConsumer(t *testing.T) consumer {
	t.Helper()
	conn, err := amqp.Dial(os.ExpandEnv("amqp://$RABBITMQ_USER:$RABBITMQ_PASS@$RABBITMQ_HOST:$RABBITMQ_PORT/"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	channel, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if err := channel.ExchangeDeclare("user_events", amqp.ExchangeTopic, true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	queue, err := channel.QueueDeclare("", false, true, true, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := channel.QueueBind(queue.Name, "user.created", "user_events", false, nil); err != nil {
		t.Fatal(err)
	}
	deliveries, err := channel.Consume(queue.Name, "", true, true, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	return deliveries
}

// about waits for the message for a user.
func (c consumer) about(t *testing.T, id string) amqp.Delivery {
	t.Helper()
	for message := range c {
		if strings.Contains(string(message.Body), `"subject":"`+id+`"`) {
			return message
		}
	}
	t.Fatal("the connection is lost")
	return amqp.Delivery{}
}

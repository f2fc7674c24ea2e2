//go:build alerts

package observability_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"user-service/internal/testkit"
	"user-service/pkg/event"
	"user-service/pkg/rabbitmq"
)

// probePeriod is the kubelet's period of readiness probes, shortened by the same factor as the rules.
const probePeriod = 10 * time.Second / hurry

// behindEndpoints sends all requests through a proxy. Like a Service of Kubernetes, it forwards to the pod only while the pod is ready. A
// pod that does not run refuses connections itself.
func (s *stage) behindEndpoints() {
	endpoints := newGate(s.t, strings.TrimPrefix(s.api, "http://"))
	s.url = "http://" + endpoints.Addr().String()
	go func() {
		for testkit.Pause(s.t.Context(), probePeriod) {
			resp, err := http.Get("http://" + s.metrics + "/readyz")
			if err == nil {
				_ = resp.Body.Close()
			}
			endpoints.set(err != nil || resp.StatusCode != http.StatusOK)
		}
	}()
}

// newQueue declares a queue that gets all events except password resets. bind adds a type of events.
func newQueue(t *testing.T) (bind func(event.Type)) {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	conn, err := amqp.Dial(fmt.Sprintf("amqp://%s:%s@%s:%s/", os.Getenv("RABBITMQ_USER"), os.Getenv("RABBITMQ_PASS"),
		os.Getenv("RABBITMQ_HOST"), os.Getenv("RABBITMQ_PORT")))
	must(err)
	t.Cleanup(func() { _ = conn.Close() })
	channel, err := conn.Channel()
	must(err)
	must(channel.ExchangeDeclare(rabbitmq.Exchange, amqp.ExchangeTopic, true, false, false, false, nil))
	queue, err := channel.QueueDeclare("", false, true, true, false, amqp.Table{"x-max-length": 1})
	must(err)
	bind = func(typ event.Type) { must(channel.QueueBind(queue.Name, string(typ), rabbitmq.Exchange, false, nil)) }
	for _, typ := range event.Types() {
		if typ != event.PasswordResetRequested {
			bind(typ)
		}
	}
	return bind
}

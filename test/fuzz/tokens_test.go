package fuzz_test

import (
	"encoding/json"
	"os"
	"strings"
	"sync"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"user-service/pkg/rabbitmq"
)

// oneTimeTokens collects the tokens of events, as a mailer does.
type oneTimeTokens struct {
	mu    sync.Mutex
	known map[string]bool     // accounts of this test; the broker has events of other tests too
	fresh map[string][]string // by the type of the event
	used  []string
}

func consumeTokens(t *testing.T) *oneTimeTokens {
	t.Helper()
	tokens := &oneTimeTokens{known: map[string]bool{}, fresh: map[string][]string{}}
	conn, err := amqp.Dial(os.ExpandEnv("amqp://$RABBITMQ_USER:$RABBITMQ_PASS@$RABBITMQ_HOST:$RABBITMQ_PORT"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	channel, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	queue, err := channel.QueueDeclare("", false, true, true, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := channel.ExchangeDeclare(rabbitmq.Exchange, amqp.ExchangeTopic, true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	if err := channel.QueueBind(queue.Name, "user.#", rabbitmq.Exchange, false, nil); err != nil {
		t.Fatal(err)
	}
	deliveries, err := channel.Consume(queue.Name, "", true, true, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for d := range deliveries {
			tokens.take(d.Body)
		}
	}()
	return tokens
}

func (o *oneTimeTokens) take(raw []byte) {
	var e struct {
		Type, Subject string
		Data          struct{ Token string }
	}
	if json.Unmarshal(raw, &e) != nil || !strings.HasSuffix(e.Type, "_requested") {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known[e.Subject] {
		o.fresh[e.Type] = append(o.fresh[e.Type], e.Data.Token)
	}
}

// know makes o keep the tokens of an account.
func (o *oneTimeTokens) know(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.known[id] = true
}

// pop returns an unused token of a type and marks it as used; "" if there is none.
func (o *oneTimeTokens) pop(typ string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	fresh := o.fresh[typ]
	if len(fresh) == 0 {
		return ""
	}
	token := fresh[len(fresh)-1]
	o.fresh[typ] = fresh[:len(fresh)-1]
	o.used = append(o.used, token)
	return token
}

// again returns a used token.
func (o *oneTimeTokens) again(n int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.used) == 0 {
		return ""
	}
	return o.used[n%len(o.used)]
}

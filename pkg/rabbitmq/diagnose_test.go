package rabbitmq_test

import (
	"log/slog"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"user-service/internal/testkit"
	"user-service/pkg/rabbitmq"
)

var noLog = slog.New(slog.DiscardHandler)

// TestDiagnosePublishesNothing binds a queue to all events, and checks that it stays empty.
func TestDiagnosePublishesNothing(t *testing.T) {
	t.Parallel()
	typ := string(randomType())
	channel := dial(t)
	if err := channel.ExchangeDeclare(rabbitmq.Exchange, amqp.ExchangeTopic, true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	queue, err := channel.QueueDeclare("", false, true, true, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := channel.QueueBind(queue.Name, typ, rabbitmq.Exchange, false, nil); err != nil {
		t.Fatal(err)
	}
	if d := rabbitmq.Diagnose(t.Context(), broker(t), []string{typ, typ}, noLog); d != (rabbitmq.Diagnosis{}) {
		t.Errorf("the diagnosis is %+v, want no problem", d)
	}
	if _, found, err := channel.Get(queue.Name, true); found || err != nil {
		t.Errorf("the queue has a message: %t (%v), want none", found, err)
	}
}

func TestDiagnoseReportsABrokerThatCannotBeReached(t *testing.T) {
	t.Parallel()
	wrong, away, elsewhere := broker(t), broker(t), broker(t)
	wrong.Password, away.Port, elsewhere.Vhost = "wrong", 1, "nowhere"
	for name, cfg := range map[string]rabbitmq.Broker{"password": wrong, "port": away, "vhost": elsewhere} {
		if d := rabbitmq.Diagnose(t.Context(), cfg, []string{"user.created"}, noLog); d.Reach == nil ||
			d.Exchange != nil || d.Write != nil {
			t.Errorf("%s: the diagnosis is %+v, want only Reach", name, d)
		}
	}
}

func TestFindQueue(t *testing.T) {
	t.Parallel()
	name := string(randomType())
	if _, found, err := rabbitmq.FindQueue(t.Context(), broker(t), name, noLog); found || err != nil {
		t.Errorf("an unknown queue is found: %t (%v), want false", found, err)
	}
	channel := dial(t)
	if _, err := channel.QueueDeclare(name, true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = channel.QueueDelete(name, false, false, false) })
	if err := channel.PublishWithContext(t.Context(), "", name, true, false, amqp.Publishing{}); err != nil {
		t.Fatal(err)
	}
	testkit.WaitFor(t, "the message in the queue", func() bool {
		state, found, err := rabbitmq.FindQueue(t.Context(), broker(t), name, noLog)
		return found && err == nil && state == rabbitmq.QueueState{Messages: 1}
	})
}

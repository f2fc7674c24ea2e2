package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"user-service/pkg/config"
	"user-service/pkg/event"
	"user-service/pkg/rabbitmq"
)

// brokerRights is the advice if the broker refuses an operation.
const brokerRights = "give the user the rights in docs/operations.md, section Rights at the broker"

func (d *doctor) checkBroker(ctx context.Context, cfg config.RabbitMQ) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	broker := brokerOf(cfg)
	found := rabbitmq.Diagnose(ctx, broker, eventTypes(), d.log)
	if found.Reach != nil {
		d.problem("broker", found.Reach.Error(), "check that RabbitMQ runs, that a firewall or a NetworkPolicy allows the connection, "+
			"and RABBITMQ_HOST, RABBITMQ_PORT, RABBITMQ_USER, RABBITMQ_PASS, RABBITMQ_VHOST and RABBITMQ_TLS")
		return
	}
	d.ok("broker", "RabbitMQ answers")
	if found.Exchange != nil {
		d.problem("broker exchange", found.Exchange.Error(), brokerRights+", or declare the durable topic exchange "+rabbitmq.Exchange)
		return
	}
	d.ok("broker exchange", rabbitmq.Exchange+" exists")
	switch {
	case found.Write == nil:
		d.ok("broker rights", "the user may publish every event")
	case found.Type != "":
		d.problem("broker rights", "the user may not publish "+found.Type+": "+found.Write.Error(), brokerRights)
	default:
		d.problem("broker rights", "the user may not publish: "+found.Write.Error(), brokerRights)
	}
	d.checkQueues(ctx, broker)
}

// checkQueues checks that each event with a one-time token reaches a queue. Otherwise its mail is not sent.
func (d *doctor) checkQueues(ctx context.Context, broker rabbitmq.Broker) {
	bindings, err := rabbitmq.Bindings(ctx, broker, d.managementURL)
	if err != nil {
		d.unknown("broker queues", d.knownQueues(ctx, broker)+": "+err.Error(),
			"give --management-url and a user with the tag management, "+
				"or run: rabbitmqctl list_bindings | grep "+rabbitmq.Exchange)
		return
	}
	var lost []string
	for _, typ := range tokenEvents() {
		if !slices.ContainsFunc(bindings, func(b rabbitmq.Binding) bool { return b.Accepts(typ) }) {
			lost = append(lost, typ)
		}
	}
	switch {
	case len(bindings) == 0:
		d.problem("broker queues", "no queue is bound, so every event is lost",
			"start the mailer and other consumers, or bind their queues")
	case len(lost) > 0:
		d.problem("broker queues", "no queue gets "+strings.Join(lost, ", ")+", so nobody sends these mails",
			"start the mailer (user-service mail), or bind the queue of another one")
	default:
		d.ok("broker queues", fmt.Sprintf("%d bindings; every event with a token reaches a queue", len(bindings)))
	}
}

// knownQueues returns a text that says whether the queues of the mailer exist. Unlike bindings, a queue can be looked up by AMQP.
func (d *doctor) knownQueues(ctx context.Context, broker rabbitmq.Broker) string {
	text := "the bound queues are not known"
	for _, q := range mailQueues() {
		queue, found, err := rabbitmq.FindQueue(ctx, broker, q.Name, d.log)
		switch {
		case err != nil:
			return text
		case !found:
			text += "; the mailer's queue " + q.Name + " does not exist"
		default:
			text += fmt.Sprintf("; the mailer's queue %s exists, with %d messages and %d consumers", q.Name,
				queue.Messages, queue.Consumers)
		}
	}
	return text
}

// tokenEvents returns the types of events with a one-time token, which a mailer must send.
func tokenEvents() (types []string) {
	for _, t := range event.Types() {
		if strings.HasSuffix(string(t), "_requested") {
			types = append(types, string(t))
		}
	}
	return types
}

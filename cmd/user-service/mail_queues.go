package main

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"user-service/pkg/mail"
	"user-service/pkg/rabbitmq"
)

const (
	// urgentMailQueue is the queue of events whose mails must not wait for the mails of mailQueue.
	urgentMailQueue = "user_service.mail.urgent"
	// mailQueue is the queue of events whose mails anybody can cause, without an account.
	mailQueue = "user_service.mail"
	// mailWorkers is the number of first attempts for each queue that one mailer makes at the same time. Recipients whose servers are slow
	// delay other mails of the queue only if more than four such mails arrive in a second.
	mailWorkers = 8
	// mailRetryWorkers is the number of concurrent retries for each queue.
	mailRetryWorkers = 2
)

// mailRetries are the delays between two attempts while no mail can be sent.
func mailRetries() []time.Duration {
	return []time.Duration{10 * time.Second, time.Minute, 5 * time.Minute}
}

// mailDeferrals are the delays after an answer about one mail. Six attempts are made within an hour, in which a reset token is valid, and
// twelve in a day.
func mailDeferrals() []time.Duration {
	return append(mailRetries(), 15*time.Minute, 30*time.Minute, time.Hour, 4*time.Hour)
}

// mailQueues describes the queues of the mailer, with the urgent one first.
func mailQueues() []rabbitmq.Queue {
	return []rabbitmq.Queue{
		{
			Name: urgentMailQueue, Types: mail.UrgentTypes(), ForwardTo: mailQueue,
			Retries: mailRetries(), Deferrals: mailDeferrals(),
		},
		{Name: mailQueue, Types: mail.OtherTypes(), Retries: mailRetries(), Deferrals: mailDeferrals()},
	}
}

// mailConsumers get the events of all queues of the mailer.
type mailConsumers []*rabbitmq.Consumer

func (m *mailer) newConsumers(sender *mail.Mailer) (all mailConsumers) {
	for _, queue := range mailQueues() {
		handle := sender.Handle
		if queue.Name == urgentMailQueue {
			handle = sender.HandleUrgent
		}
		all = append(all, rabbitmq.NewConsumer(brokerOf(m.cfg.RabbitMQ), queue, rabbitmq.ConsumerConfig{
			Handle: handleWith(handle), Keep: mail.Reduce, Obsolete: sender.Obsolete,
			Workers: mailWorkers, RetryWorkers: mailRetryWorkers, Grace: m.grace(), Log: m.log, Observer: m.metrics.Queue(queue.Name),
		}))
	}
	return all
}

// handleWith returns a handler of messages that sends mails.
func handleWith(
	handle func(context.Context, []byte, time.Duration) (mail.Disposition, string),
) func(context.Context, rabbitmq.Job) (rabbitmq.Disposition, string) {
	dispositions := map[mail.Disposition]rabbitmq.Disposition{
		mail.Done: rabbitmq.Done, mail.Retry: rabbitmq.Retry, mail.Defer: rabbitmq.Defer, mail.Park: rabbitmq.Park,
		mail.Forward: rabbitmq.Forward,
	}
	return func(ctx context.Context, job rabbitmq.Job) (rabbitmq.Disposition, string) {
		disposition, reason := handle(ctx, job.Body, job.Age)
		return dispositions[disposition], reason
	}
}

// check returns an error if a queue delivers no events.
func (c mailConsumers) check(ctx context.Context) error {
	for _, consumer := range c {
		if err := consumer.Check(ctx); err != nil {
			return err
		}
	}
	return nil
}

// setBroker changes the settings for future connections.
func (c mailConsumers) setBroker(ctx context.Context, next rabbitmq.Broker) error {
	var errs []error
	for _, consumer := range c {
		errs = append(errs, consumer.SetBroker(ctx, next))
	}
	return errors.Join(errs...)
}

// run handles events until ctx ends and the handlers have ended.
func (c mailConsumers) run(ctx context.Context) error {
	var running errgroup.Group
	for _, consumer := range c {
		running.Go(func() error { return consumer.Run(ctx) })
	}
	return running.Wait()
}

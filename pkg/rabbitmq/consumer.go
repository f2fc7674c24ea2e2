package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.opentelemetry.io/otel/trace"
)

// Disposition is what a Consumer does with a message after its handler.
type Disposition int

// All dispositions.
const (
	Done    Disposition = iota // Acknowledge the message.
	Retry                      // Deliver it again after one of Queue.Retries.
	Defer                      // Deliver it again after one of Queue.Deferrals.
	Park                       // Move it to the queue of parked messages.
	Forward                    // Move it to Queue.ForwardTo, where its next attempt counts as the first one.
)

// Job is a message for the handler of a Consumer.
type Job struct {
	Body []byte
	Age  time.Duration // since the first attempt; 0 at the first attempt
}

// Queue describes the queues of a Consumer.
type Queue struct {
	// Name is the name of the durable queue for first attempts. The names of the other queues begin with it.
	Name string
	// Types are the types of events that the queue gets.
	Types []string
	// ForwardTo is the name of the queue for Forward. The Consumer removes the bindings of this queue to Types, which another version may
	// have made.
	ForwardTo string
	// Retries are the delays of Retry before the second attempt, the third, and so on. The last one applies to all further attempts.
	Retries []time.Duration
	// Deferrals are the delays after a message's first Defer, its second, and so on. The last delay applies to all further ones.
	Deferrals []time.Duration
}

// parked is the name of the queue for parked messages.
func (q Queue) parked() string { return q.Name + ".parked" }

// again is the name of the queue for messages whose delay has passed.
func (q Queue) again() string { return q.Name + ".retry" }

// delayed is the name of the queue in which messages wait for this delay.
func (q Queue) delayed(delay time.Duration) string { return q.Name + ".delay." + shorten(delay) }

// delays returns the different delays, sorted.
func (q Queue) delays() []time.Duration {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(q.Retries, q.Deferrals))))
}

// shorten returns a duration without zero units, such as 10m.
func shorten(d time.Duration) string {
	switch {
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	default:
		return d.String()
	}
}

// ConsumerObserver receives the measurements of a Consumer. Its methods are called concurrently and must not block.
type ConsumerObserver interface {
	// Connected is called at each change of the connection's state, which is false initially.
	Connected(connected bool)
	// QueueLengths is called every ten seconds with numbers of messages. The ready ones wait for their first attempt, and the retrying ones
	// for another attempt.
	QueueLengths(ready, retrying, parked int)
	// Waited is called at each first attempt, with the time since the timestamp of the message.
	Waited(time.Duration)
}

type noopConsumerObserver struct{}

func (noopConsumerObserver) Connected(bool)             {}
func (noopConsumerObserver) QueueLengths(int, int, int) {}
func (noopConsumerObserver) Waited(time.Duration)       {}

// ConsumerConfig configures a Consumer.
type ConsumerConfig struct {
	// Handle handles a message, concurrently with others. The reason for Retry, Defer or Park is stored with the message, so it must not
	// contain secrets. If Handle panics, the message is parked.
	Handle func(context.Context, Job) (v Disposition, reason string)
	// Keep returns the part of a body that another attempt needs. Only this part is stored in other queues. nil: the whole body.
	Keep func(body []byte) []byte
	// Obsolete reports whether a parked message is no longer needed. The Consumer calls it for each parked message after a connect and
	// every hour, and removes the obsolete messages. nil: no message is obsolete.
	Obsolete func(ctx context.Context, body []byte) (bool, error)
	// Workers is the maximum number of concurrent first attempts. It is also the prefetch count of their queue.
	Workers int
	// RetryWorkers is the maximum number of concurrent retries, and the prefetch count of their queue. Retries have their own workers, so
	// that they do not delay first attempts.
	RetryWorkers int
	// Grace is how long a running handler may continue after Run's context has ended. Then the context of the handler ends.
	Grace    time.Duration
	Log      *slog.Logger     // nil: none
	Observer ConsumerObserver // nil: none
}

// Consumer handles the messages of a durable queue. A message is acknowledged after its handler, or after the broker has confirmed its copy
// in another queue. So a message can be handled twice, but is never lost.
type Consumer struct {
	broker  atomic.Pointer[Broker] // for the next connection
	current atomic.Pointer[session]
	queue   Queue
	cfg     ConsumerConfig
	tracer  trace.Tracer
}

// NewConsumer returns a Consumer that is not connected until Run is called.
func NewConsumer(broker Broker, queue Queue, cfg ConsumerConfig) *Consumer {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Observer == nil {
		cfg.Observer = noopConsumerObserver{}
	}
	c := &Consumer{queue: queue, cfg: cfg, tracer: newTracer()}
	c.broker.Store(&broker)
	return c
}

// SetBroker changes the settings for future connections, as Publisher.SetBroker does.
func (c *Consumer) SetBroker(ctx context.Context, next Broker) error {
	return setBroker(ctx, &c.broker, &c.current, next, c.cfg.Log)
}

// Check returns nil while the Consumer gets messages. Error: ErrNotConnected.
func (c *Consumer) Check(context.Context) error {
	if c.current.Load() == nil {
		return ErrNotConnected
	}
	return nil
}

// Run handles messages until ctx ends. It replaces a lost connection. After the end of ctx it starts no handler, and returns when the
// running handlers have ended. Call it once.
func (c *Consumer) Run(ctx context.Context) error {
	sessions, endSessions := context.WithCancel(context.WithoutCancel(ctx))
	defer endSessions()
	handling, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	var serving atomic.Bool
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(c.cfg.Grace, abort)
		if !serving.Load() { // otherwise the running handlers need the session
			endSessions()
		}
	})
	defer stop()

	var in *inbox
	connect := func(ctx context.Context) (*session, error) {
		return open(ctx, *c.broker.Load(), productName+" "+c.queue.Name, c.cfg.Log, func(channel *amqp.Channel) (err error) {
			in, err = c.queue.consume(channel, c.cfg.Workers, c.cfg.RetryWorkers)
			return err
		})
	}
	stayConnected(sessions, c.cfg.Log, connect, func(s *session) {
		serving.Store(true)
		defer serving.Store(false)
		c.serve(ctx, handling, s, in)
		if ctx.Err() != nil {
			endSessions()
			return
		}
		s.endConsumer(ctx)
	})
	return nil
}

// serve handles messages until ctx ends or the session is lost.
func (c *Consumer) serve(ctx, handling context.Context, s *session, in *inbox) {
	c.current.Store(s)
	c.cfg.Observer.Connected(true)
	closeIfOutdated(s, *c.broker.Load()) // SetBroker may have been called while the session was opened
	go s.probe()
	go c.measure(s)
	go c.sweep(ctx, s)
	working, stop := context.WithCancel(ctx)
	defer stop()
	var workers sync.WaitGroup
	start := func(n int, deliveries <-chan amqp.Delivery) {
		for range n {
			workers.Go(func() {
				defer stop() // if the broker has ended one consumer, a new session consumes both queues
				if err := c.work(working, handling, s, in, deliveries); err != nil {
					s.end(err)
				}
			})
		}
	}
	start(c.cfg.Workers, in.first)
	start(c.cfg.RetryWorkers, in.again)
	workers.Wait()
	c.current.Store(nil)
	c.cfg.Observer.Connected(false)
}

// work handles messages until ctx ends, or until the broker ends the consumer and so the deliveries.
func (c *Consumer) work(ctx, handling context.Context, s *session, in *inbox, deliveries <-chan amqp.Delivery) error {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case delivery, open := <-deliveries:
			if !open || ctx.Err() != nil { // the broker requeues an unhandled message when the session ends
				return nil
			}
			if err := c.handle(handling, s, in, delivery); err != nil {
				return err
			}
		}
	}
	return nil
}

// handle handles one message in a span of its own.
func (c *Consumer) handle(ctx context.Context, s *session, in *inbox, delivery amqp.Delivery) error {
	ctx, span := c.startSpan(ctx, delivery)
	history := historyOf(delivery)
	if history.attempts == 0 && !delivery.Timestamp.IsZero() {
		c.cfg.Observer.Waited(time.Since(delivery.Timestamp))
	}
	disposition, reason := c.call(ctx, Job{Body: delivery.Body, Age: history.age()})
	err := c.settle(ctx, s, in, delivery, disposition, history, reason)
	if err == nil && disposition != Done && disposition != Forward {
		endSpan(span, errors.New(reason))
		return nil
	}
	endSpan(span, err)
	return err
}

// call calls the handler. A panic must not end the process, because the broker would then deliver the same message to the next process.
func (c *Consumer) call(ctx context.Context, job Job) (v Disposition, reason string) {
	defer func() {
		if recover() != nil { // the value is not logged, because it could contain a part of the message
			c.cfg.Log.Error("the handler of a message has panicked; the message is parked", "stack", string(debug.Stack()))
			v, reason = Park, "panic"
		}
	}()
	return c.cfg.Handle(ctx, job)
}

// settle moves a message to another queue if necessary, and acknowledges it.
func (c *Consumer) settle(
	ctx context.Context, s *session, in *inbox, delivery amqp.Delivery, disposition Disposition, history history, reason string,
) error {
	if disposition != Done && c.cfg.Keep != nil {
		delivery.Body = c.cfg.Keep(delivery.Body)
	}
	switch disposition {
	case Retry, Defer:
		delay := history.delay(c.queue, disposition)
		if err := in.move(ctx, s, delivery, c.queue.delayed(delay), history.again(disposition, reason)); err != nil {
			return fmt.Errorf("defer a message: %w", err)
		}
	case Park:
		if err := in.move(ctx, s, delivery, c.queue.parked(), history.parked(reason)); err != nil {
			return fmt.Errorf("park a message: %w", err)
		}
	case Forward:
		if err := in.move(ctx, s, delivery, c.queue.ForwardTo, history.headers); err != nil {
			return fmt.Errorf("forward a message: %w", err)
		}
	case Done:
	}
	if err := delivery.Ack(false); err != nil {
		return fmt.Errorf("acknowledge a message: %w", err)
	}
	return nil
}

// measureInterval is the time between two measurements of the queues.
const measureInterval = 10 * time.Second

// measure reports the lengths of the queues until the session ends. If a queue is missing, it ends the session, because the next session
// declares the queue again.
func (c *Consumer) measure(s *session) {
	channel, err := s.conn.Channel() // a channel of its own, because a failed passive declaration closes the channel
	if err != nil {
		s.end(err)
		return
	}
	ticker := time.NewTicker(measureInterval)
	defer ticker.Stop()
	for {
		if err := c.measureOnce(channel); err != nil {
			s.end(fmt.Errorf("measure the queues: %w", err))
			return
		}
		select {
		case <-s.lost:
			return
		case <-ticker.C:
		}
	}
}

func (c *Consumer) measureOnce(channel *amqp.Channel) error {
	length := func(queue string) (int, error) {
		found, err := channel.QueueDeclarePassive(queue, true, false, false, false, nil)
		return found.Messages, err
	}
	ready, err := length(c.queue.Name)
	if err != nil {
		return err
	}
	parked, err := length(c.queue.parked())
	if err != nil {
		return err
	}
	retrying, err := length(c.queue.again())
	if err != nil {
		return err
	}
	for _, delay := range c.queue.delays() {
		n, err := length(c.queue.delayed(delay))
		if err != nil {
			return err
		}
		retrying += n
	}
	c.cfg.Observer.QueueLengths(ready, retrying, parked)
	return nil
}

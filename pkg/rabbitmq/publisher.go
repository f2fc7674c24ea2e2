package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.opentelemetry.io/otel/trace"

	"user-service/pkg/event"
)

// publishTimeout bounds Publish if ctx has no earlier deadline.
const publishTimeout = 30 * time.Second

// Observer receives the measurements of a Publisher. Its methods are called concurrently and must not block.
type Observer interface {
	// Connected is called at each change of the connection's state, which is false initially.
	Connected(connected bool)
	// Confirmed is called for each confirmed event, with the time from sending to the confirm.
	Confirmed(latency time.Duration)
	// Nacked is called for each event that the broker refused.
	Nacked()
	// Returned is called for each unroutable event. Such an event counts as published.
	Returned(eventType string)
}

type noopObserver struct{}

func (noopObserver) Connected(bool)          {}
func (noopObserver) Confirmed(time.Duration) {}
func (noopObserver) Nacked()                 {}
func (noopObserver) Returned(string)         {}

// Config configures a Publisher.
type Config struct {
	Log      *slog.Logger // nil: none
	Observer Observer     // nil: none
}

// Publisher publishes events on a connection that Run maintains. Its methods may be called concurrently.
type Publisher struct {
	broker         atomic.Pointer[Broker] // for the next connection
	log            *slog.Logger
	observer       Observer
	tracer         trace.Tracer
	current        atomic.Pointer[session] // nil while not connected
	confirmTimeout confirmTimeout
}

// New returns a Publisher that is not connected until Run is called.
func New(broker Broker, cfg Config) *Publisher {
	p := &Publisher{log: cfg.Log, observer: cfg.Observer, tracer: newTracer()}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.observer == nil {
		p.observer = noopObserver{}
	}
	p.broker.Store(&broker)
	return p
}

// SetBroker changes the settings for future connections, such as a rotated password. If the broker or the user changes, it replaces the
// current connection. While connected, it first tests the new settings. If the test fails, it keeps the old settings and returns an error
// that contains no part of them.
func (p *Publisher) SetBroker(ctx context.Context, next Broker) error {
	return setBroker(ctx, &p.broker, &p.current, next, p.log)
}

// Run maintains a connection to the broker until ctx ends. Then it closes the connection within 2 s and returns nil. Call it once.
func (p *Publisher) Run(ctx context.Context) error {
	connect := func(ctx context.Context) (*session, error) {
		return open(ctx, *p.broker.Load(), productName, p.log, p.enableConfirms)
	}
	stayConnected(ctx, p.log, connect, p.serveSession)
	return nil
}

// enableConfirms turns on publisher confirms and counts returned messages.
func (p *Publisher) enableConfirms(channel *amqp.Channel) error {
	if err := channel.Confirm(false); err != nil {
		return fmt.Errorf("turn on confirms: %w", err)
	}
	returns := channel.NotifyReturn(make(chan amqp.Return, 1))
	go func() {
		for returned := range returns {
			p.observer.Returned(returned.RoutingKey)
		}
	}()
	return nil
}

// serveSession makes the session available to Publish until it is lost.
func (p *Publisher) serveSession(s *session) {
	p.current.Store(s)
	p.observer.Connected(true)
	closeIfOutdated(s, *p.broker.Load()) // SetBroker may have been called while the session was opened
	s.probe()
	p.current.Store(nil)
	p.observer.Connected(false)
}

// Check returns nil if Publish would send events now. Errors: ErrNotConnected, or ErrBlocked with the broker's reason.
func (p *Publisher) Check(context.Context) error {
	_, err := p.readySession()
	return err
}

func (p *Publisher) readySession() (*session, error) {
	s := p.current.Load()
	if s == nil {
		return nil, ErrNotConnected
	}
	return s, s.check()
}

// Publish sends the events in order on one channel, and waits for the broker's confirms until ctx ends, at most 30 s. It returns one
// error for each event, which is nil if and only if the broker has confirmed the event. After an error the event may have been published.
// Publishing it again may create a duplicate.
//
// Without a connection, and while the broker blocks, Publish fails immediately. It closes the connection if ctx ends before a confirm, or
// if a confirm takes too long. The limit is 5 s, or three times the last latency if that is longer. Run then opens another connection.
// While the broker blocks, Publish keeps the connection.
//
// If the broker rejects an event, it closes the channel without naming the event. Publish then sends the unconfirmed events once more, one
// at a time. The event that closes the channel again gets ErrRejected.
func (p *Publisher) Publish(ctx context.Context, events []event.Event) []error {
	errs := make([]error, len(events))
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	s, err := p.readySession()
	if err != nil {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	batch := make([]message, 0, len(events))
	p.transmit(ctx, s, len(events), func(yield func(message) bool) {
		for m := range p.messages(ctx, events, errs) {
			if batch = append(batch, m); !yield(m) {
				return
			}
		}
	}, errs)
	if len(batch) > 1 {
		p.transmitOneByOne(ctx, s, batch, errs)
	}
	for _, m := range batch {
		if rejection := (channelRejection{}); errors.As(errs[m.index], &rejection) {
			errs[m.index] = fmt.Errorf("%w: %s", ErrRejected, rejection.reason.Reason)
			p.observer.Nacked()
		}
		endSpan(m.span, errs[m.index])
	}
	return errs
}

// transmit sends up to n messages, waits for their confirms, and stores their errors in errs. A message is written while the next ones
// are encoded.
func (p *Publisher) transmit(ctx context.Context, s *session, n int, messages iter.Seq[message], errs []error) {
	if err := s.acquire(ctx); err != nil {
		for m := range messages {
			errs[m.index] = err
		}
		return
	}
	confirmCtx, extend, stop := p.confirmTimeout.watch(ctx, s)
	defer stop()
	queue, sent := make(chan message, n), make([]int, 0, n)
	receipts := s.send(confirmCtx, queue)
	for m := range messages {
		queue <- m
		sent = append(sent, m.index)
	}
	close(queue)
	for _, i := range sent {
		if errs[i] = p.awaitConfirm(confirmCtx, s, receipts); errs[i] == nil {
			extend()
		}
	}
}

// transmitOneByOne sends the messages again, one at a time, that were unconfirmed when the broker closed the channel.
func (p *Publisher) transmitOneByOne(ctx context.Context, s *session, batch []message, errs []error) {
	for i, m := range batch {
		if !errors.As(errs[m.index], new(channelRejection)) {
			continue
		}
		p.transmit(ctx, s, 1, slices.Values(batch[i:i+1]), errs)
		if errors.Is(errs[m.index], ErrNotConnected) { // the broker may have the event from the first attempt
			errs[m.index] = ErrConnectionLost
		}
	}
}

// messages encodes the events one after the other. The error of an invalid event is stored in errs.
func (p *Publisher) messages(ctx context.Context, events []event.Event, errs []error) iter.Seq[message] {
	return func(yield func(message) bool) {
		for i, e := range events {
			publishing, err := encode(e)
			if err != nil {
				errs[i] = err
				continue
			}
			span := p.startSpan(ctx, e, &publishing)
			if !yield(message{index: i, publishing: publishing, span: span}) {
				return
			}
		}
	}
}

// awaitConfirm waits for the confirm of the next receipt.
func (p *Publisher) awaitConfirm(ctx context.Context, s *session, receipts <-chan receipt) error {
	r, err := s.next(ctx, receipts)
	if err == nil {
		err = s.confirm(ctx, r)
	}
	switch {
	case err == nil:
		latency := time.Since(r.sent)
		p.confirmTimeout.confirmed(latency)
		p.observer.Confirmed(latency)
	case errors.Is(err, ErrNacked):
		p.observer.Nacked()
	}
	return err
}

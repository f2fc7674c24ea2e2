package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.opentelemetry.io/otel/trace"

	"user-service/pkg/event"
)

// publishTimeout bounds Publish for callers whose context has no earlier end.
const publishTimeout = 30 * time.Second

// Observer is told what the publisher does. Its methods must not block, and are called from
// several goroutines.
type Observer interface {
	// Connected tells each change of the connection's state. It begins as false.
	Connected(connected bool)
	// Confirmed tells how long the broker took to confirm one event.
	Confirmed(latency time.Duration)
	// Nacked tells that the broker refused one event.
	Nacked()
	// Returned tells that no queue took an event of this type. It counts as published.
	Returned(eventType string)
}

// Publisher publishes events on a connection that Run keeps alive. Its methods may be called
// at the same time.
type Publisher struct {
	cfg      atomic.Pointer[Config] // of the connections from now on
	log      *slog.Logger
	observer Observer
	tracer   trace.Tracer
	current  atomic.Pointer[session] // nil while there is none
	patience confirmTimeout
}

// New returns a Publisher that is not connected before Run is called. A nil Observer is fine.
func New(cfg Config, log *slog.Logger, o Observer) *Publisher {
	if o == nil {
		o = noopObserver{}
	}
	p := &Publisher{log: log, observer: o, tracer: newTracer()}
	p.cfg.Store(&cfg)
	return p
}

// SetConfig makes the connections from now on by other settings, such as a rotated password. A connection to another broker or as
// another user is replaced. While there is a connection, settings by which none can be made are refused, and the old
// ones stay in force. The error shows nothing of the settings.
func (p *Publisher) SetConfig(ctx context.Context, next Config) error {
	if next == *p.cfg.Load() {
		return nil
	}
	if p.current.Load() != nil {
		if err := p.try(ctx, next); err != nil {
			return err
		}
	}
	p.cfg.Store(&next)
	p.closeIfMoved(p.current.Load())
	return nil
}

// closeIfMoved closes a session, if there is one, that was made by settings for another broker or user. Run opens the next one.
func (p *Publisher) closeIfMoved(s *session) {
	if s == nil {
		return
	}
	now := *p.cfg.Load()
	now.Password = s.cfg.Password // the one that stands needs none
	if now != s.cfg {
		s.close()
	}
}

// try makes a connection, as settings that do not work are worse than those of yesterday.
func (p *Publisher) try(ctx context.Context, cfg Config) error {
	s, err := open(ctx, cfg, product, p.log, func(*amqp.Channel) error { return nil })
	if answer := (*amqp.Error)(nil); errors.As(err, &answer) {
		return fmt.Errorf("is refused by the broker with the code %d", answer.Code)
	}
	if err != nil {
		return errors.New("leads to no broker that answers")
	}
	s.close()
	return nil
}

// Run keeps one connection to the broker until ctx ends; then it closes it within 2 s and
// returns nil. To be called once.
func (p *Publisher) Run(ctx context.Context) error {
	connect := func(ctx context.Context) (*session, error) {
		return open(ctx, *p.cfg.Load(), product, p.log, p.prepare)
	}
	stayConnected(ctx, p.log, connect, p.serve)
	return nil
}

// prepare turns on confirms and listens to returned messages.
func (p *Publisher) prepare(channel *amqp.Channel) error {
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

// serve offers the session to Publish until it is lost.
func (p *Publisher) serve(s *session) {
	p.current.Store(s)
	p.observer.Connected(true)
	p.closeIfMoved(s) // the settings may have changed while it was made
	s.probe()
	p.current.Store(nil)
	p.observer.Connected(false)
}

// Check returns nil when connected to a broker that takes messages; else ErrNotConnected, or
// ErrBlocked with the broker's reason.
func (p *Publisher) Check(context.Context) error {
	_, err := p.ready()
	return err
}

func (p *Publisher) ready() (*session, error) {
	s := p.current.Load()
	if s == nil {
		return nil, ErrNotConnected
	}
	return s, s.check()
}

// Publish sends the events in their order, on one channel, and waits for the broker's
// confirms, until ctx ends or for 30 s. It returns one error for each event, nil if and only
// if the broker has confirmed that event. After an error the event may have been published all the
// same, and may arrive twice if it is published again.
//
// Without a connection, and while the broker blocks, Publish fails at once. If the time is up while
// a confirm is outstanding, or no confirm comes for 5 s, or for three times as long as the last one took, the connection is given
// up for a new one, unless the broker said that it blocks: then the connection stays, and waits for the end of that.
//
// A broker that never takes one of the events closes the channel, and does not tell which event it was. What is not
// confirmed then is sent once more, one event at a time; the event that closes the channel again is ErrRejected.
func (p *Publisher) Publish(ctx context.Context, events []event.Event) []error {
	errs := make([]error, len(events))
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	s, err := p.ready()
	if err != nil {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	batch := p.messages(ctx, events, errs)
	p.transmit(ctx, s, batch, errs)
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

// transmit sends messages and waits for the confirms. The error of each gets into errs.
func (p *Publisher) transmit(ctx context.Context, s *session, batch []message, errs []error) {
	if err := s.acquire(ctx); err != nil {
		for _, m := range batch {
			errs[m.index] = err
		}
		return
	}
	listening, heard, stop := p.patience.listen(ctx, s)
	defer stop()
	receipts := s.send(listening, batch)
	for _, m := range batch {
		if errs[m.index] = p.awaitConfirms(listening, s, receipts); errs[m.index] == nil {
			heard()
		}
	}
}

// transmitOneByOne sends the messages again that were on their way when the broker closed the channel.
func (p *Publisher) transmitOneByOne(ctx context.Context, s *session, batch []message, errs []error) {
	for i, m := range batch {
		if !errors.As(errs[m.index], new(channelRejection)) {
			continue
		}
		p.transmit(ctx, s, batch[i:i+1], errs)
		if errors.Is(errs[m.index], ErrNotConnected) { // the broker may have it from before
			errs[m.index] = ErrConnectionLost
		}
	}
}

// messages makes a message of each event. An event that can't be one gets its error in errs.
func (p *Publisher) messages(ctx context.Context, events []event.Event, errs []error) []message {
	batch := make([]message, 0, len(events))
	for i, e := range events {
		publishing, err := encode(e)
		if err != nil {
			errs[i] = err
			continue
		}
		span := p.startSpan(ctx, e, &publishing)
		batch = append(batch, message{index: i, publishing: publishing, span: span})
	}
	return batch
}

// awaitConfirms takes the next receipt and waits for what the broker says to it.
func (p *Publisher) awaitConfirms(ctx context.Context, s *session, receipts <-chan receipt) error {
	r, err := s.next(ctx, receipts)
	if err == nil {
		err = s.confirm(ctx, r)
	}
	switch {
	case err == nil:
		latency := time.Since(r.sent)
		p.patience.confirmed(latency)
		p.observer.Confirmed(latency)
	case errors.Is(err, ErrNacked):
		p.observer.Nacked()
	}
	return err
}

// noopObserver is the Observer of those who need none.
type noopObserver struct{}

func (noopObserver) Connected(bool)          {}
func (noopObserver) Confirmed(time.Duration) {}
func (noopObserver) Nacked()                 {}
func (noopObserver) Returned(string)         {}

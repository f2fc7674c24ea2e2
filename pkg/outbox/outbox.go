// Package outbox relays events from the outbox table to the broker. It publishes every event at least once, and the events of each user
// in the order of the changes, even if components crash.
package outbox

import (
	"context"
	"errors"
	"time"

	"user-service/pkg/event"
)

// ErrBusy is the error of a Store while another relay drains the same outbox.
var ErrBusy = errors.New("another relay drains the outbox")

// Publisher sends events to the broker.
type Publisher interface {
	// Publish sends the events in order, and waits for the broker's confirms until ctx ends. It returns one error for each event; nil
	// means confirmed. If an error has a method Refused() that returns true, the broker refuses this event but accepts other events.
	Publish(ctx context.Context, events []event.Event) []error
}

// Store stores the events that wait to be published.
type Store interface {
	// Drain calls publish with a batch of events, and applies the outcomes. While it runs, no other relay on the same database can drain.
	// The batch has the oldest events that are not deferred, and deferred events that are due. Before Drain calls publish, it locks the
	// events and ensures that it can remove them. If it can't, it returns ErrBusy or another error without calling publish.
	Drain(ctx context.Context, limits Limits, publish func(context.Context, []Waiting) []Outcome) (Drained, error)
	// Remove removes published events. Errors: ErrBusy while another relay drains.
	Remove(ctx context.Context, published []Waiting) error
}

// Limits are the limits of one batch.
type Limits struct {
	Events  int // The number of events that are not deferred.
	Retries int // The number of deferred events that are due.
	Bytes   int // The size of the data. The first event may be larger.
}

// Waiting is an event in the outbox.
type Waiting struct {
	event.Event

	Position int64 // the position in the order of the outbox
	Refusals int   // the number of consecutive refusals by the broker
}

// Outcome is the result of publishing one event.
type Outcome struct {
	Result Result
	Retry  time.Duration // for Refused and Blocked: the time until the next attempt
	Reason string        // for Refused: the broker's reason
}

// Result is the kind of an Outcome.
type Result int

// The results. An Unsent event is retried with the next batch.
const (
	Unsent    Result = iota // The broker did not confirm the event, or there is no connection.
	Confirmed               // The broker has confirmed the event.
	Refused                 // The broker has refused the event.
	Blocked                 // The event was not sent, because an earlier event of the same user was refused.
)

// Drained is the result of one batch.
type Drained struct {
	Taken    int  // The number of events in the batch.
	Removed  int  // Published events, and events of erased users.
	Deferred int  // Refused events, and events that wait behind refused ones.
	More     bool // The outbox may hold more events that can be published now.
}

func (d Drained) unsent() int { return d.Taken - d.Removed - d.Deferred }

// Parked is an event with at least MaxRefusals consecutive refusals.
type Parked struct {
	Waiting

	ParkedAt time.Time
	RetryAt  time.Time
	Reason   string // the reason of the last refusal
	Behind   int64  // the number of later events of the same user that wait behind this event
}

// Observer receives the measurements of a Relay. Its methods must not block.
type Observer interface {
	// EventPublished is called for each confirmed event. age is the time from the change to the broker's confirm.
	EventPublished(typ string, age time.Duration)
	// EventFailed is called for each failed attempt to publish an event.
	EventFailed(typ string)
}

type noopObserver struct{}

func (noopObserver) EventPublished(string, time.Duration) {}
func (noopObserver) EventFailed(string)                   {}

// Package outbox is the relay between the table in which changes leave their events
// and the broker: every event is published at least once, and one user's events in the
// order of the changes, whatever dies and whenever.
package outbox

import (
	"context"
	"errors"
	"time"

	"user-service/pkg/event"
)

// ErrBusy is what a Store returns while another relay drains the same outbox.
var ErrBusy = errors.New("another relay drains the outbox")

// Publisher hands events to the broker.
type Publisher interface {
	// Publish sends the events in their order and waits for the broker's confirms, at the
	// longest until ctx ends. It returns one error for each event; nil means confirmed. An error
	// with a method Refused() that returns true means that the broker refuses this event, and
	// takes others.
	Publish(ctx context.Context, events []event.Event) []error
}

// Store keeps the events that wait.
type Store interface {
	// Drain gives events to publish and does with each what publish returns, all while no other
	// relay on the same database can do so. The events are the oldest ones that are not deferred, and
	// deferred ones whose time has come. Before publish is called, the events are locked and can be removed.
	// Without that chance it returns ErrBusy, or another error, and has not called publish.
	Drain(ctx context.Context, limits Limits, publish func(context.Context, []Waiting) []Outcome) (Drained, error)
	// Remove removes events that were published. It returns ErrBusy while another relay drains.
	Remove(ctx context.Context, published []Waiting) error
}

// Limits bound one batch.
type Limits struct {
	Events  int // that are not deferred
	Retries int // deferred events whose time has come
	Bytes   int // of data; the first event is taken whatever its size
}

// Waiting is an event that waits in the outbox.
type Waiting struct {
	event.Event

	Position int64 // in the order of the outbox
	Refusals int   // how often in a row the broker has refused it
}

// Outcome is what became of an event.
type Outcome struct {
	Result Result
	Retry  time.Duration // Refused, Blocked: how long the event is deferred
	Reason string        // Refused: why
}

// Result is the kind of an Outcome.
type Result int

// The results. After Unsent the event is tried again with the next batch.
const (
	Unsent    Result = iota // there is no answer of the broker, or no broker
	Confirmed               // the broker has it
	Refused                 // the broker refuses this event
	Blocked                 // the broker refuses an earlier event of the user
)

// Drained says what became of one batch.
type Drained struct {
	Taken    int  // events of the batch
	Removed  int  // events that were published, or whose user is erased
	Deferred int  // events that are refused, or wait behind one that is
	More     bool // the outbox may hold more events that can be published now
}

func (d Drained) unsent() int { return d.Taken - d.Removed - d.Deferred }

// Parked is an event that the broker has refused MaxRefusals times in a row, or more often.
type Parked struct {
	Waiting

	ParkedAt time.Time
	RetryAt  time.Time
	Reason   string // of the last refusal
	Behind   int64  // later events of the same user that wait for it
}

// Observer is told what the relay does. Its methods must not block.
type Observer interface {
	EventPublished(typ string, age time.Duration) // age: from the change to the broker's confirm
	EventFailed(typ string)
}

// Package outbox is the relay between the table in which changes leave their events
// and the broker: every event is published at least once, and one user's events in the
// order of the changes, whatever dies and whenever.
package outbox

import (
	"context"
	"time"

	"user-service/pkg/event"
)

// Publisher hands events to the broker.
type Publisher interface {
	// Publish sends the events in their order and waits for the broker's confirms, at the
	// longest until ctx ends. It returns one error for each event; nil means confirmed.
	Publish(ctx context.Context, events []event.Event) []error
}

// Store keeps the events that wait.
type Store interface {
	// Drain gives the oldest events, at most limit, to publish and removes those for which
	// publish returns true, all while no other relay on the same database can do so.
	// Without that chance it returns ErrBusy and has not called publish.
	Drain(ctx context.Context, limit int, publish func(context.Context, []event.Event) []bool) (Drained, error)
}

// Drained says what became of one batch.
type Drained struct {
	Taken   int // events that were given to publish
	Removed int // events that were published and are gone
}

// Observer is told what the relay does. Its methods must not block.
type Observer interface {
	EventPublished(typ string, age time.Duration) // age: from the change to the broker's confirm
	EventFailed(typ string)
}

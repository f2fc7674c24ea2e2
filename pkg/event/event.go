// Package event says what the service announces to others, and in which form:
// CloudEvents 1.0, structured mode, JSON.
package event

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Type names what happened. It is also the routing key under which the event is
// published.
type Type string

// The types of events that the service announces.
const (
	UserCreated Type = "user.created" // data: Created
	UserUpdated Type = "user.updated" // data: Updated
	UserDeleted Type = "user.deleted" // data: Deleted
)

// Types lists every type of event, in the order of an account's life.
func Types() []Type { return []Type{UserCreated, UserUpdated, UserDeleted} }

// Event is one change of one account, as it waits in the outbox.
type Event struct {
	// ID is a UUIDv7. A consumer that sees the same id twice has a duplicate.
	ID uuid.UUID
	// Type is what happened.
	Type Type
	// Subject is the id of the user whom it happened to.
	Subject uuid.UUID
	// Sequence is the user's version after the change; a deletion's is one above the last.
	Sequence int64
	// Time is when the change was made.
	Time time.Time
	// Traceparent is the W3C trace context of the request that made the change, or empty.
	Traceparent string
	// Data is the JSON object that goes with the type.
	Data json.RawMessage
}

// Created is the data of UserCreated; User is the user as the API shows it.
type Created struct {
	User any `json:"user"`
}

// Updated is the data of UserUpdated.
type Updated struct {
	// User is the user after the change, as the API shows it.
	User any `json:"user"`
	// Changed names the members that changed, sorted.
	Changed []string `json:"changed"`
	// Previous holds the former values of the changed members that had one.
	Previous map[string]any `json:"previous"`
}

// Deleted is the data of UserDeleted: no personal data.
type Deleted struct {
	ID uuid.UUID `json:"id"`
}

// New makes an event of the given type about the user subject, whose version is
// sequence after the change. It fails only if data is no JSON.
func New(typ Type, subject uuid.UUID, sequence int64, at time.Time, data any) (Event, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Event{}, fmt.Errorf("make an event id: %w", err)
	}
	raw, err := json.Marshal(data)
	if err != nil {
		return Event{}, fmt.Errorf("encode the data of %s: %w", typ, err)
	}
	return Event{ID: id, Type: typ, Subject: subject, Sequence: sequence, Time: at, Data: raw}, nil
}

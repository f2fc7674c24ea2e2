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
	UserDeleted Type = "user.deleted" // data: Subject, no personal data

	LoggedIn        Type = "user.logged_in"        // data: Session
	LockedOut       Type = "user.locked_out"       // data: LockOut
	PasswordChanged Type = "user.password_changed" // data: Subject

	PasswordResetRequested     Type = "user.password_reset_requested"     // data: TokenIssued
	EmailVerificationRequested Type = "user.email_verification_requested" // data: TokenIssued

	Snapshot Type = "user.snapshot" // data: Created
)

// Types lists every type of event.
func Types() []Type {
	return []Type{
		UserCreated, UserUpdated, UserDeleted, LoggedIn, LockedOut, PasswordChanged,
		PasswordResetRequested, EmailVerificationRequested, Snapshot,
	}
}

// Event is one change of one account, as it waits in the outbox.
type Event struct {
	// ID is a UUIDv7. A consumer that sees the same id twice has a duplicate.
	ID uuid.UUID
	// Type is what happened.
	Type Type
	// Subject is the id of the user whom it happened to.
	Subject uuid.UUID
	// UserVersion is the user's version after the change; a deletion's is one above the last, and
	// that of an event that changes no version is the current one.
	UserVersion int64
	// Time is when the change was made.
	Time time.Time
	// Traceparent is the W3C trace context of the request that made the change, or empty.
	Traceparent string
	// Data is the JSON object that goes with the type.
	Data json.RawMessage
}

// Created is the data of UserCreated and Snapshot; User is the user as the API shows it.
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

// Subject is the data of an event that tells no more than whom it is about.
type Subject struct {
	ID uuid.UUID `json:"id"`
}

// Session is the data of LoggedIn.
type Session struct {
	ID        uuid.UUID `json:"id"` // of the user
	SessionID uuid.UUID `json:"session_id"`
}

// LockOut is the data of LockedOut.
type LockOut struct {
	ID    uuid.UUID `json:"id"`
	Until time.Time `json:"until"` // when the backoff ends: of one network, or of all where the user has not logged in
}

// TokenIssued is the data of PasswordResetRequested and EmailVerificationRequested: what the
// service that sends mail needs.
type TokenIssued struct {
	User      any       `json:"user"`
	Token     string    `json:"token"`
	ExpiresAt time.Time `json:"expires_at"`
}

// New makes an event of the given type about the user subject, whose version is
// version after the change. It fails only if data is no JSON.
func New(typ Type, subject uuid.UUID, userVersion int64, at time.Time, data any) (Event, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Event{}, fmt.Errorf("make an event id: %w", err)
	}
	raw, err := json.Marshal(data)
	if err != nil {
		return Event{}, fmt.Errorf("encode the data of %s: %w", typ, err)
	}
	return Event{ID: id, Type: typ, Subject: subject, UserVersion: userVersion, Time: at, Data: raw}, nil
}

// Package event defines the events that the service publishes, and encodes them as CloudEvents 1.0 (structured mode, JSON).
package event

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Type is the type of an event, and its routing key.
type Type string

// All types of events. The comment names the type of the data.
const (
	UserCreated Type = "user.created" // data: Created
	UserUpdated Type = "user.updated" // data: Updated
	UserDeleted Type = "user.deleted" // data: Subject, no personal data

	LoggedIn        Type = "user.logged_in"        // data: Session
	LockedOut       Type = "user.locked_out"       // data: LockOut
	PasswordChanged Type = "user.password_changed" // data: Subject
	FactorAdded     Type = "user.factor_added"     // data: Factor
	FactorRemoved   Type = "user.factor_removed"   // data: Factor

	PasswordResetRequested     Type = "user.password_reset_requested"     // data: TokenIssued
	EmailVerificationRequested Type = "user.email_verification_requested" // data: TokenIssued
	InvitationRequested        Type = "user.invitation_requested"         // data: TokenIssued

	Snapshot Type = "user.snapshot" // data: Created
)

// Types returns all types of events.
func Types() []Type {
	return []Type{
		UserCreated, UserUpdated, UserDeleted, LoggedIn, LockedOut, PasswordChanged, FactorAdded, FactorRemoved,
		PasswordResetRequested, EmailVerificationRequested, InvitationRequested, Snapshot,
	}
}

// Event is a change of an account, as the outbox stores it.
type Event struct {
	// ID is a UUIDv7. Events with the same id are duplicates.
	ID uuid.UUID
	// Type is the kind of change.
	Type Type
	// Subject is the id of the user.
	Subject uuid.UUID
	// UserVersion is the version of the user after the event. For UserDeleted it is the last version plus one.
	UserVersion int64
	// Time is the time of the change.
	Time time.Time
	// Traceparent is the W3C trace context of the request that made the change, or empty.
	Traceparent string
	// Data is a JSON object that depends on the type.
	Data json.RawMessage
}

// Created is the data of UserCreated and Snapshot. User is the user as the API shows it.
type Created struct {
	User any `json:"user"`
}

// Updated is the data of UserUpdated.
type Updated struct {
	// User is the user after the change, as the API shows it.
	User any `json:"user"`
	// Changed has the names of the changed fields, sorted.
	Changed []string `json:"changed"`
	// Previous has the previous values of the changed fields. It omits fields that were empty.
	Previous map[string]any `json:"previous"`
}

// Subject is the data of an event without details.
type Subject struct {
	ID uuid.UUID `json:"id"`
}

// Session is the data of LoggedIn.
type Session struct {
	ID        uuid.UUID `json:"id"` // the id of the user
	SessionID uuid.UUID `json:"session_id"`
}

// LockOut is the data of LockedOut. The backoff applies to one network, or to all networks from which the user has not logged in.
type LockOut struct {
	ID    uuid.UUID `json:"id"`
	Until time.Time `json:"until"` // the end of the backoff
}

// Factor is the data of FactorAdded and FactorRemoved.
type Factor struct {
	ID     uuid.UUID  `json:"id"` // the id of the user
	Factor FactorItem `json:"factor"`
	By     string     `json:"by"` // the actor: the id of a user, "workload:" followed by a sub, or "cli"
}

// FactorItem describes a second factor.
type FactorItem struct {
	ID   uuid.UUID `json:"id"`
	Type string    `json:"type"`
	Name string    `json:"name"`
}

// TokenIssued is the data of PasswordResetRequested, EmailVerificationRequested and InvitationRequested, for a service that sends mail.
type TokenIssued struct {
	User      any       `json:"user"`
	Token     string    `json:"token"`
	ExpiresAt time.Time `json:"expires_at"`
}

// New returns an event with a new id. It returns an error only if data can't be encoded as JSON.
func New(typ Type, subject uuid.UUID, userVersion int64, at time.Time, data any) (Event, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Event{}, fmt.Errorf("create an event id: %w", err)
	}
	raw, err := json.Marshal(data)
	if err != nil {
		return Event{}, fmt.Errorf("encode the data of %s: %w", typ, err)
	}
	return Event{ID: id, Type: typ, Subject: subject, UserVersion: userVersion, Time: at, Data: raw}, nil
}

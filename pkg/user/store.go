package user

import (
	"context"

	"github.com/google/uuid"

	"user-service/pkg/access"
	"user-service/pkg/event"
)

// Store keeps accounts. Each of its methods is one transaction; the events of a
// change are stored with the change or not at all. Its errors are those of this
// package where they mean something to the caller (NotFound, EmailTaken, Unavailable).
type Store interface {
	// Create stores a new account with its roles, its password hash and its events.
	Create(ctx context.Context, u User, passwordHash string, events ...event.Event) error
	// Import stores those of the accounts whose email nobody has, each as Create does, and
	// returns how many they are. A dry run counts them and stores nothing.
	Import(ctx context.Context, accounts []NewAccount, dryRun bool) (created int, err error)
	// Change locks the account, lets decide look at it, and stores what decide returns.
	Change(ctx context.Context, id uuid.UUID, decide func(context.Context, Tx, User) (Change, error)) (User, error)
	// User returns an account.
	User(ctx context.Context, id uuid.UUID) (User, error)
	// Users returns the accounts that the filter chooses, sorted by id.
	Users(ctx context.Context, f Filter) (Page, error)
	// Roles returns all roles, sorted by name.
	Roles(ctx context.Context) ([]access.Role, error)

	// Credential returns what a login with this email is checked against, and whether there is any.
	Credential(ctx context.Context, email string) (Credential, bool, error)
	// CredentialOf returns the credential of the user with this id.
	CredentialOf(ctx context.Context, id uuid.UUID) (Credential, error)
	// UpgradeHash replaces a user's password hash if it still is the old one.
	UpgradeHash(ctx context.Context, id uuid.UUID, old, upgraded string) error

	// OpenSession stores the session of an active user and returns whose it is; NotFound
	// if the user is gone or disabled.
	OpenSession(ctx context.Context, s Session) (Identity, error)
	// TurnSession locks the session of an active user, lets decide look at it, and stores
	// what decide returns. NotFound if there is no such session.
	TurnSession(ctx context.Context, id uuid.UUID, decide func(Session) (Turn, error)) (Identity, error)
	// EndSession ends a session, if it is there.
	EndSession(ctx context.Context, id uuid.UUID) error
	// Identify returns who a session belongs to, in one query; NotFound if the session is over or
	// the user is not active.
	Identify(ctx context.Context, userID, sessionID uuid.UUID) (Identity, error)
}

// Tx is what a decision may ask within the transaction that will store it.
type Tx interface {
	// AnotherActiveAdmin reports whether an active admin other than id remains. The answer
	// holds until the transaction ends.
	AnotherActiveAdmin(ctx context.Context, id uuid.UUID) (bool, error)
	// UnknownRoles returns those of the names that are no roles. The others stay roles
	// until the transaction ends.
	UnknownRoles(ctx context.Context, names []string) ([]string, error)
}

// NewAccount is an account that is to be stored, with the event that announces it.
type NewAccount struct {
	User         User
	PasswordHash string
	Created      event.Event
}

// Change is what is to become of a locked account. The zero Change changes nothing.
type Change struct {
	User        *User // the account after the change; nil leaves it as it is
	Delete      bool  // erase the account and all that belongs to it
	EndSessions bool  // end all sessions
	Events      []event.Event
}

// Turn is what is to become of a locked session. The zero Turn changes nothing.
type Turn struct {
	Session *Session // the session after the turn; nil leaves it as it is
	End     bool     // end the session; TurnSession then returns NotFound
}

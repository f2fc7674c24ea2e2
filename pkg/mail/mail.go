// Package mail sends the mails that belong to events: links with one-time tokens, and notices about changes of an account. It knows no AMQP
// and no SQL.
package mail

import (
	"time"

	"github.com/google/uuid"
)

// Kind is a kind of mail. It is also the first part of the names of its templates.
type Kind string

// All kinds of mails.
const (
	EmailVerification Kind = "email_verification" // has a link
	PasswordReset     Kind = "password_reset"     // has a link
	Invitation        Kind = "invitation"         // has a link
	EmailChanged      Kind = "email_changed"      // goes to the previous address
	PasswordChanged   Kind = "password_changed"
	FactorAdded       Kind = "factor_added"
	FactorRemoved     Kind = "factor_removed"
)

// Kinds returns all kinds of mails.
func Kinds() []Kind {
	return []Kind{EmailVerification, PasswordReset, Invitation, EmailChanged, PasswordChanged, FactorAdded, FactorRemoved}
}

// paths are the pages of the application that send a token to the service, by the kind of mail.
var paths = map[Kind]string{
	EmailVerification: "/verify-email",
	PasswordReset:     "/reset-password",
	Invitation:        "/invitation",
}

// hasLink reports whether mails of this kind have a link with a one-time token.
func (k Kind) hasLink() bool { return paths[k] != "" }

// Limits of notices, which are the mails without a link. The service itself limits the events with tokens, but not the events of notices.
const (
	// NoticeWindow is the time in which a mailbox gets at most MaxNotices notices, of all kinds and accounts together.
	NoticeWindow = 10 * time.Minute
	MaxNotices   = 5
)

// Mail is a mail that belongs to an event. Except for the address, it contains no text of the account. Otherwise anybody could register
// another person's address with a text of their choice, and the mailer would send that text to this person.
type Mail struct {
	Event   uuid.UUID // The id of the event.
	Account uuid.UUID // The id of the account.
	Kind    Kind
	To      string    // The address; empty: the account's current address.
	At      time.Time // The time of the event.
	Token   string    // The one-time token of the link.
	Expires time.Time // When the token expires.
	Factor  string    // The type of a second factor, such as totp.
	Former  bool      // To is the account's previous address, and was verified.
	ByAdmin bool      // Somebody other than the user made the change.
}

// Account has the properties of an account that a mail depends on.
type Account struct {
	Email    string
	Verified bool   // Email is verified.
	Disabled bool   // The account's tokens are not valid.
	Locale   string // BCP 47; empty: unknown.
	Created  time.Time
	Now      time.Time // The current time by the database's clock.
}

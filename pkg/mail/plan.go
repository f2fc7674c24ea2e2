package mail

import (
	"encoding/json"
	"errors"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// errUnreadable means that a message is not an event of the service. It does not contain the cause, which could contain a part of the
// message.
var errUnreadable = errors.New("the message is not an event that can be read")

// The types of events that mails belong to.
const (
	verificationRequested = "user.email_verification_requested"
	resetRequested        = "user.password_reset_requested"
	invitationRequested   = "user.invitation_requested"
	userUpdated           = "user.updated"
	passwordChanged       = "user.password_changed"
	factorAdded           = "user.factor_added"
	factorRemoved         = "user.factor_removed"
)

// kinds are the kinds of mails by the type of the event.
var kinds = map[string]Kind{
	verificationRequested: EmailVerification,
	resetRequested:        PasswordReset,
	invitationRequested:   Invitation,
	userUpdated:           EmailChanged,
	passwordChanged:       PasswordChanged,
	factorAdded:           FactorAdded,
	factorRemoved:         FactorRemoved,
}

// UrgentTypes returns the types of events whose mails must not wait for other mails, sorted: resets, invitations and notices. Anybody can
// cause the other mails without an account.
func UrgentTypes() []string {
	return []string{factorAdded, factorRemoved, invitationRequested, passwordChanged, resetRequested, userUpdated}
}

// OtherTypes returns the other types of events that mails belong to.
func OtherTypes() []string { return []string{verificationRequested} }

// cloudEvent has the attributes of an event that mails depend on (api/asyncapi.yaml).
type cloudEvent struct {
	ID      uuid.UUID       `json:"id"`
	Type    string          `json:"type"`
	Subject uuid.UUID       `json:"subject"`
	Time    time.Time       `json:"time"`
	Data    json.RawMessage `json:"data"`
}

// ForEvent returns the mail that belongs to an event, a CloudEvent in JSON. needed is false if no mail belongs to the event. The error for
// an unreadable event contains no part of the event.
func ForEvent(body []byte) (m Mail, needed bool, err error) {
	var e cloudEvent
	if json.Unmarshal(body, &e) != nil || e.ID == uuid.Nil || e.Subject == uuid.Nil || e.Type == "" {
		return Mail{}, false, errUnreadable
	}
	m = Mail{Event: e.ID, Account: e.Subject, Kind: kinds[e.Type], At: e.Time}
	switch m.Kind {
	case "":
		return m, false, nil
	case EmailVerification, PasswordReset, Invitation:
		err = m.readToken(e.Data)
	case EmailChanged:
		return m.readChange(e.Data)
	case FactorAdded, FactorRemoved:
		err = m.readFactor(e.Data)
	case PasswordChanged: // needs no data
	}
	return m, true, err
}

// readToken reads the data of an event with a one-time token.
func (m *Mail) readToken(data []byte) error {
	var d struct {
		User struct {
			Email string `json:"email"`
		} `json:"user"`
		Token     string    `json:"token"`
		ExpiresAt time.Time `json:"expires_at"`
	}
	if json.Unmarshal(data, &d) != nil || d.Token == "" || d.ExpiresAt.IsZero() || !isAddress(d.User.Email) {
		return errUnreadable
	}
	m.To, m.Token, m.Expires = d.User.Email, d.Token, d.ExpiresAt
	return nil
}

// readChange reads the data of an event about a changed account. needed is true if the account has another address now.
func (m *Mail) readChange(data []byte) (_ Mail, needed bool, err error) {
	var d struct {
		User struct {
			Email string `json:"email"`
		} `json:"user"`
		Changed  []string `json:"changed"`
		Previous struct {
			Email    string `json:"email"`
			Verified bool   `json:"email_verified"`
		} `json:"previous"`
	}
	if json.Unmarshal(data, &d) != nil {
		return *m, false, errUnreadable
	}
	if !slices.Contains(d.Changed, "email") || strings.EqualFold(d.Previous.Email, d.User.Email) { // the same mailbox
		return *m, false, nil
	}
	if !isAddress(d.Previous.Email) {
		return *m, false, errUnreadable
	}
	m.To, m.Former = d.Previous.Email, d.Previous.Verified // a new address is never verified, so the event has both values
	return *m, true, nil
}

// readFactor reads the data of an event about a second factor. Its member by names the actor: the id of an account, or a word.
func (m *Mail) readFactor(data []byte) error {
	var d struct {
		Factor struct {
			Type string `json:"type"`
		} `json:"factor"`
		By json.RawMessage `json:"by"`
	}
	if json.Unmarshal(data, &d) != nil {
		return errUnreadable
	}
	m.Factor = d.Factor.Type
	var by string
	if json.Unmarshal(d.By, &by) == nil && by != "" {
		m.ByAdmin = !strings.EqualFold(by, m.Account.String()) && by != "user"
	}
	return nil
}

var unsafeAddress = regexp.MustCompile(`^[/|]|[%!]`)

// isAddress reports whether s is an email address without a name. So it has no line breaks, which would add headers. It must not contain a
// second domain either (user%domain@local, domain!user@local): some mail servers forward such a mail to that domain. It must not begin with
// a slash or a bar, which some mail servers take for a file or a command.
func isAddress(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s && a.Name == "" && !unsafeAddress.MatchString(s)
}

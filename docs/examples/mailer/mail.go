package main

import (
	"encoding/json"
	"fmt"
	"net/mail"
	"net/url"
	"time"

	"github.com/google/uuid"
)

// userDeleted is the type of the event after which this program keeps nothing about a user.
const userDeleted = "user.deleted"

// cloudEvent has the fields of an event that this program reads (api/asyncapi.yaml).
type cloudEvent struct {
	ID      uuid.UUID `json:"id"`
	Type    string    `json:"type"`
	Subject uuid.UUID `json:"subject"` // the user's id
	Time    time.Time `json:"time"`
	Data    struct {
		User struct {
			Email string `json:"email"`
		} `json:"user"`
		Token     string    `json:"token"`
		ExpiresAt time.Time `json:"expires_at"`
	} `json:"data"`
}

// unreadableError means that a message is not an event, or lacks a part of it.
type unreadableError struct{ reason string }

func (e *unreadableError) Error() string { return "can't be read: " + e.reason }

// subjects are the subjects of emails by event type.
var subjects = map[string]string{
	"user.password_reset_requested":     "Set a new password",
	"user.email_verification_requested": "Please confirm your email",
	"user.invitation_requested":         "Your invitation",
}

// paths are the application's pages that send the token to the user service, by event type.
var paths = map[string]string{
	"user.password_reset_requested":     "/reset-password",
	"user.email_verification_requested": "/verify-email",
	"user.invitation_requested":         "/invitation",
}

func read(body []byte) (e cloudEvent, err error) {
	if json.Unmarshal(body, &e) != nil { // the error could contain a part of the body
		return e, &unreadableError{"no event in JSON"}
	}
	switch {
	case e.ID == uuid.Nil || e.Subject == uuid.Nil:
		return e, &unreadableError{"id or subject is missing"}
	case subjects[e.Type] == "":
		return e, nil
	case e.Data.Token == "" || e.Data.ExpiresAt.IsZero():
		return e, &unreadableError{"token or expires_at is missing"}
	}
	// A plain address has no line breaks, which would add headers.
	if address, err := mail.ParseAddress(e.Data.User.Email); err != nil || address.Address != e.Data.User.Email {
		return e, &unreadableError{"no email"}
	}
	return e, nil
}

// mail returns the email with its headers. The token is in the fragment of the link, which no server logs. The email does not contain
// the user's name: anybody can register the address of another person, with any text as the name.
func (e cloudEvent) mail() string {
	from := mail.Address{Name: "Example", Address: "no-reply@example.com"}
	to := mail.Address{Address: e.Data.User.Email}
	link := url.URL{Scheme: "https", Host: "app.example.com", Path: paths[e.Type], Fragment: "token=" + e.Data.Token}
	return fmt.Sprintf("From: %s\r\nTo: %s\r\nDate: %s\r\nSubject: %s\r\nMessage-Id: <%s@example.com>\r\n\r\n"+
		"Open this link until %s:\r\n\r\n%s\r\n\r\nIf you did not ask for this mail, ignore it.\r\n",
		from.String(), to.String(), e.Time.UTC().Format(time.RFC1123Z), subjects[e.Type], e.ID,
		e.Data.ExpiresAt.UTC().Format(time.RFC1123), link.String())
}

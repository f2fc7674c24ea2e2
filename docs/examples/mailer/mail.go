package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
)

// cloudEvent has the fields of an event that this program reads (api/asyncapi.yaml).
type cloudEvent struct {
	ID   uuid.UUID `json:"id"`
	Type string    `json:"type"`
	Data struct {
		User struct {
			Email string `json:"email"`
		} `json:"user"`
		Token     string    `json:"token"`
		ExpiresAt time.Time `json:"expires_at"`
	} `json:"data"`
}

// unreadableError means that a message is not a known event.
type unreadableError struct{ reason string }

func (e *unreadableError) Error() string { return "can't be read: " + e.reason }

// subjects are the subjects of emails by event type.
var subjects = map[string]string{
	"user.password_reset_requested":     "Your new password",
	"user.email_verification_requested": "Please confirm your email",
}

// paths are the application's pages that send the token to the user service, by event type.
var paths = map[string]string{
	"user.password_reset_requested":     "/new-password",
	"user.email_verification_requested": "/confirm-email",
}

func read(body []byte) (e cloudEvent, err error) {
	if json.Unmarshal(body, &e) != nil { // the error could contain a part of the body
		return e, &unreadableError{"no event in JSON"}
	}
	switch {
	case e.ID == uuid.Nil || e.Data.Token == "" || e.Data.ExpiresAt.IsZero():
		return e, &unreadableError{"id, token or expires_at is missing"}
	case subjects[e.Type] == "":
		return e, &unreadableError{"another type of event"}
	}
	if _, err := mail.ParseAddress(e.Data.User.Email); err != nil { // prevents line breaks in a header
		return e, &unreadableError{"no email"}
	}
	return e, nil
}

// mail returns the email with its headers. The token is in the fragment of the link, which no server logs. The email does not contain the
// user's name: anybody can register another person's address, with any text as the name.
func (e cloudEvent) mail() string {
	to := mail.Address{Address: e.Data.User.Email}
	link := url.URL{Scheme: "https", Host: "app.example.com", Path: paths[e.Type], Fragment: "token=" + e.Data.Token}
	return fmt.Sprintf("To: %s\r\nSubject: %s\r\nMessage-Id: <%s@example.com>\r\n\r\n%s\r\nuntil %s\r\n",
		to.String(), subjects[e.Type], e.ID, link.String(), e.Data.ExpiresAt.UTC().Format(time.RFC1123))
}

// folder takes the place of a mail server.
type folder string

// errSent means that the email was sent before.
var errSent = errors.New("already sent")

// send writes an email unless this event already has an email. A real mailer would store the ids of sent events in a
// table for some days. It could also pass the id to a mail provider that drops duplicates.
func (f folder) send(event uuid.UUID, text string) error {
	if err := os.MkdirAll(string(f), 0o700); err != nil {
		return err
	}
	draft, err := os.CreateTemp(string(f), "draft-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(draft.Name()) }()
	_, err = draft.WriteString(text)
	if err := errors.Join(err, draft.Close()); err != nil {
		return err
	}
	// The creation of a link is atomic and never replaces an existing file.
	err = os.Link(draft.Name(), filepath.Join(string(f), event.String()+".eml"))
	if errors.Is(err, os.ErrExist) {
		return errSent
	}
	return err
}

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

// cloudEvent is what this program reads of an event (api/asyncapi.yaml).
type cloudEvent struct {
	ID   uuid.UUID `json:"id"`
	Type string    `json:"type"`
	Data struct {
		User struct {
			Email string `json:"email"`
			Name  string `json:"name"`
		} `json:"user"`
		Token     string    `json:"token"`
		ExpiresAt time.Time `json:"expires_at"`
	} `json:"data"`
}

// unreadableError means that a message is no event that this program knows.
type unreadableError struct{ reason string }

func (e *unreadableError) Error() string { return "can't be read: " + e.reason }

// subjects are what mails are about, by the type of event.
var subjects = map[string]string{
	"user.password_reset_requested":     "Your new password",
	"user.email_verification_requested": "Please confirm your email",
}

// paths are the pages of the application that pass the token on to the user service.
var paths = map[string]string{
	"user.password_reset_requested":     "/new-password",
	"user.email_verification_requested": "/confirm-email",
}

func read(body []byte) (e cloudEvent, err error) {
	if json.Unmarshal(body, &e) != nil { // its error may show a part of the body
		return e, &unreadableError{"no event in JSON"}
	}
	switch {
	case e.ID == uuid.Nil || e.Data.Token == "" || e.Data.ExpiresAt.IsZero():
		return e, &unreadableError{"id, token or expires_at is missing"}
	case subjects[e.Type] == "":
		return e, &unreadableError{"another type of event"}
	}
	if _, err := mail.ParseAddress(e.Data.User.Email); err != nil { // no line break gets into a header
		return e, &unreadableError{"no email"}
	}
	return e, nil
}

// mail is the text with its headers. The token stands in the fragment of the link, which no server logs.
func (e cloudEvent) mail() string {
	to := mail.Address{Name: e.Data.User.Name, Address: e.Data.User.Email}
	link := url.URL{Scheme: "https", Host: "app.example.com", Path: paths[e.Type], Fragment: "token=" + e.Data.Token}
	return fmt.Sprintf("To: %s\r\nSubject: %s\r\nMessage-Id: <%s@example.com>\r\n\r\n%s\r\nuntil %s\r\n",
		to.String(), subjects[e.Type], e.ID, link.String(), e.Data.ExpiresAt.UTC().Format(time.RFC1123))
}

// folder stands for the mail server.
type folder string

// errSent means that the mail was sent before.
var errSent = errors.New("sent already")

// send writes a mail unless there is one for this event. A real mailer would keep the ids of what it has sent in a
// table, for some days, or give the id to a mail provider that drops duplicates.
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
	// A link is made whole or not at all, and never over another.
	err = os.Link(draft.Name(), filepath.Join(string(f), event.String()+".eml"))
	if errors.Is(err, os.ErrExist) {
		return errSent
	}
	return err
}

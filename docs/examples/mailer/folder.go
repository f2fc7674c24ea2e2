package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/uuid"
)

// folder takes the place of a mail server and of a database. It has a folder of sent emails for each user, and a tombstone for
// each erased user. A real mailer would have a table of sent events and a table of erased users.
type folder string

// Errors of send, which the caller handles.
var (
	errSent   = errors.New("already sent")
	errErased = errors.New("the user is erased")
)

// check creates the folder. Errors: the folder is not writable.
func (f folder) check() error {
	err := os.MkdirAll(string(f), 0o700)
	if err == nil {
		var probe *os.File
		if probe, err = os.CreateTemp(string(f), "probe-"); err == nil {
			err = errors.Join(probe.Close(), os.Remove(probe.Name()))
		}
	}
	if err != nil {
		return fmt.Errorf("-dir is not a folder that this program may write to: %w", err)
	}
	return nil
}

func (f folder) user(id uuid.UUID) string      { return filepath.Join(string(f), id.String()) }
func (f folder) tombstone(id uuid.UUID) string { return f.user(id) + ".erased" }

// send writes the email of an event, and remembers the event by its id. Errors: errSent, errErased.
func (f folder) send(e cloudEvent) error {
	if f.isErased(e.Subject) {
		return errErased
	}
	sent := filepath.Join(f.user(e.Subject), e.ID.String()+".eml")
	if err := f.write(sent, e.mail()); err != nil {
		return err
	}
	if f.isErased(e.Subject) { // meanwhile, by another replica
		return errors.Join(os.RemoveAll(f.user(e.Subject)), errErased)
	}
	return nil
}

// write creates a file with all of its text. Errors: errSent if the file exists.
func (f folder) write(name, text string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
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
	err = os.Link(draft.Name(), name)
	if errors.Is(err, os.ErrExist) {
		return errSent
	}
	return err
}

// erase deletes the emails of a user, and leaves a tombstone: the id without personal data. Without the tombstone, a duplicate that
// arrives after the erasure would be handled as the first event of a new user.
func (f folder) erase(id uuid.UUID) error {
	if err := os.WriteFile(f.tombstone(id), nil, 0o600); err != nil {
		return err
	}
	return os.RemoveAll(f.user(id))
}

func (f folder) isErased(id uuid.UUID) bool {
	_, err := os.Stat(f.tombstone(id))
	return err == nil
}

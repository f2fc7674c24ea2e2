package mail

import (
	"context"
	"net/mail"
)

// Send sends a mail without a database, as a first attempt.
func (t *Transport) Send(ctx context.Context, from mail.Address, to string, m Mail, text Text) error {
	return t.send(ctx, newMessage(from, to, m, text), m.Event.String(), true)
}

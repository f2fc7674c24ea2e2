package httpapi

import (
	"net/http"

	"user-service/pkg/user"
)

func readInvitee(o *object) user.Invitee {
	in := user.Invitee{Email: o.email(), Profile: readProfile(o)}
	if value := o.members["roles"]; value != nil && value.Kind() != 'n' {
		in.Roles = o.names("roles", "the name of a role")
	}
	o.ignore("roles")
	return in
}

func (a *API) inviteUser(w http.ResponseWriter, c *call) error {
	if err := a.readIdempotencyKey(c, "users"); err != nil {
		return err
	}
	in, err := decode(c, []string{mediaJSON}, readInvitee, func(in user.Invitee) user.FieldErrors {
		return a.users.CheckInvitee(c.Context(), c.grant, in)
	})
	if err != nil {
		return err
	}
	in.Idempotency = c.idempotency
	u, err := a.users.Invite(c.Context(), c.grant, in)
	if err != nil {
		return err
	}
	return writeNewUser(w, u)
}

func (a *API) sendInvitation(w http.ResponseWriter, c *call) error {
	if err := a.users.SendInvitation(c.Context(), c.grant); err != nil {
		return err
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

func (a *API) confirmInvitation(w http.ResponseWriter, c *call) error {
	in, err := decode(c, []string{mediaJSON}, readReset, a.users.CheckReset)
	if err != nil {
		return err
	}
	if err := a.users.ConfirmInvitation(c.Context(), in); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

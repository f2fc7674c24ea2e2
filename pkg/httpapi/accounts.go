package httpapi

import (
	"encoding/json"
	"net/http"

	"user-service/pkg/user"
)

// readOnly are the read-only fields of a user.
var readOnly = []string{"id", "email_verified", "roles", "status", "version", "created_at", "updated_at"}

func readProfile(o *object) (p user.Profile) {
	for _, f := range user.ProfileFields {
		switch value := f.In(&p).(type) {
		case *string:
			*value = o.text(f.Name)
		case *json.RawMessage:
			*value = o.document(f.Name)
		}
	}
	return p
}

func readRegistration(o *object) user.Registration {
	return user.Registration{Email: o.email(), Password: o.text("password"), Profile: readProfile(o)}
}

func readReplacement(o *object) user.Replacement {
	o.ignore(readOnly...)
	return user.Replacement{Email: o.email(), Profile: readProfile(o), CurrentPassword: o.text("current_password")}
}

// changedBy maps each field that a patch can't change to the request that changes the field.
var changedBy = map[string]string{
	"email_verified": "POST /email-verification", "roles": "PUT /users/{id}/roles", "status": "PUT /users/{id}/status",
}

func readPatch(o *object) user.Patch {
	for _, name := range readOnly {
		if _, given := o.take(name); !given {
			continue
		}
		detail := "is read-only"
		if request, ok := changedBy[name]; ok {
			detail += "; " + request + " changes it"
		}
		o.errs.Add(pointer(name), user.ReadOnly, detail)
	}
	return user.Patch{Email: trimmed(o.change("email")), Profile: readProfilePatch(o), CurrentPassword: o.text("current_password")}
}

func readProfilePatch(o *object) user.ProfilePatch {
	patch := user.ProfilePatch{}
	for _, f := range user.ProfileFields {
		value, given := o.members[f.Name]
		if !given {
			continue
		}
		switch f.In(&user.Profile{}).(type) {
		case *string:
			patch[f.Name] = o.text(f.Name)
		case *json.RawMessage:
			patch[f.Name] = "null"
			if document := o.document(f.Name); value.Kind() != 'n' {
				patch[f.Name] = string(document)
			}
		}
	}
	return patch
}

func (a *API) register(w http.ResponseWriter, c *call) error {
	if err := a.users.MayRegister(); err != nil {
		return err
	}
	if err := a.readIdempotencyKey(c, "register"); err != nil {
		return err
	}
	in, err := decode(c, []string{mediaJSON}, readRegistration, a.users.CheckRegistration)
	if err != nil {
		return err
	}
	in.Idempotency = c.idempotency
	u, err := a.users.Register(c.Context(), in)
	if err != nil {
		return err
	}
	return writeNewUser(w, u)
}

// writeNewUser sends a user that the request has created.
func writeNewUser(w http.ResponseWriter, u user.User) error {
	w.Header().Set("Location", "users/"+u.ID.String()) // relative, so that a gateway may add a prefix
	return writeUser(w, http.StatusCreated, u)
}

func (a *API) getUser(w http.ResponseWriter, c *call) error {
	u := c.by.User // as it was when the caller was identified
	if !c.by.Is(c.target) {
		var err error
		if u, err = a.users.Get(c.Context(), c.target); err != nil {
			return err
		}
	}
	cond := conditionsOf(c.Request)
	switch tag := etag(u.Version); {
	case !cond.match(tag):
		return user.ErrPrecondition()
	case cond.notModified(tag):
		noStore(w)
		w.Header().Set("ETag", tag)
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return writeUser(w, http.StatusOK, u)
}

func (a *API) replaceUser(w http.ResponseWriter, c *call) error {
	in, err := decode(c, []string{mediaJSON}, readReplacement, user.Replacement.Check)
	if err != nil {
		return err
	}
	return a.updateUser(w, c, in)
}

func (a *API) patchUser(w http.ResponseWriter, c *call) error {
	in, err := decode(c, []string{mediaMergePatch, mediaJSON}, readPatch, user.Patch.Check)
	if err != nil {
		return err
	}
	return a.updateUser(w, c, in)
}

func (a *API) updateUser(w http.ResponseWriter, c *call, edit user.Edit) error {
	u, err := a.users.Update(c.Context(), c.by, c.grant, edit, conditionsOf(c.Request).user())
	if err != nil {
		return err
	}
	return writeUser(w, http.StatusOK, u)
}

func (a *API) deleteUser(w http.ResponseWriter, c *call) error {
	if err := a.users.Delete(c.Context(), c.grant, conditionsOf(c.Request).user()); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

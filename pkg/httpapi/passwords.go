package httpapi

import (
	"net/http"

	"user-service/pkg/user"
)

func readNewPassword(o *object) user.NewPassword {
	return user.NewPassword{Current: o.text("current_password"), New: o.text("new_password")}
}

func (a *API) changePassword(w http.ResponseWriter, c *call) error {
	check := func(p user.NewPassword) user.FieldErrors { return a.users.CheckNewPassword(c.by, p) }
	in, err := decode(c, []string{mediaJSON}, readNewPassword, check)
	if err != nil {
		return err
	}
	pair, err := a.users.ChangePassword(c.Context(), c.by, c.grant, in)
	if err != nil {
		return err
	}
	return writeTokens(w, pair)
}

func (a *API) requestReset(w http.ResponseWriter, c *call) error {
	email, err := decode(c, []string{mediaJSON}, (*object).email, user.CheckEmail)
	if err != nil {
		return err
	}
	if err := a.users.RequestReset(c.Context(), email); err != nil {
		return err
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

func (a *API) sendReset(w http.ResponseWriter, c *call) error {
	if err := a.users.SendReset(c.Context(), c.grant); err != nil {
		return err
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

func readReset(o *object) user.Reset {
	return user.Reset{Token: o.text("token"), NewPassword: o.text("new_password")}
}

func (a *API) confirmReset(w http.ResponseWriter, c *call) error {
	in, err := decode(c, []string{mediaJSON}, readReset, a.users.CheckReset)
	if err != nil {
		return err
	}
	if err := a.users.ConfirmReset(c.Context(), in); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) requestVerification(w http.ResponseWriter, c *call) error {
	if err := a.users.RequestVerification(c.Context(), c.grant); err != nil {
		return err
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

func (a *API) confirmVerification(w http.ResponseWriter, c *call) error {
	token, err := decode(c, []string{mediaJSON}, func(o *object) string { return o.text("token") }, user.CheckToken)
	if err != nil {
		return err
	}
	if err := a.users.ConfirmVerification(c.Context(), token); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

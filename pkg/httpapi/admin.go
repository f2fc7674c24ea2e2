package httpapi

import (
	"net/http"

	"user-service/pkg/user"
)

// userPage is one page of the list of users.
type userPage struct {
	Items      []user.User `json:"items"`
	NextCursor string      `json:"next_cursor,omitempty"`
}

func (a *API) listUsers(w http.ResponseWriter, c *call) error {
	filter, err := readFilter(c.URL.RawQuery)
	if err != nil {
		return err
	}
	page, err := a.users.List(c.Context(), filter)
	if err != nil {
		return err
	}
	out := userPage{Items: append([]user.User{}, page.Users...)}
	if page.More {
		out.NextCursor = encodeCursor(page.Users[len(page.Users)-1].ID)
	}
	noStore(w)
	return writeJSON(w, http.StatusOK, out)
}

func (a *API) setRoles(w http.ResponseWriter, c *call) error {
	roles, err := decode(c, []string{mediaJSON},
		func(o *object) []string { return o.names("roles", "the name of a role") }, user.CheckRoles)
	if err != nil {
		return err
	}
	u, err := a.users.SetRoles(c.Context(), c.grant, roles, conditionsOf(c.Request).user())
	if err != nil {
		return err
	}
	return writeUser(w, http.StatusOK, u)
}

func readStatus(o *object) user.Status {
	status := user.Status(o.text("status"))
	if !status.Valid() {
		allowed := user.Param{Name: "allowed", Value: []user.Status{user.Active, user.Disabled}}
		o.errs.Add("/status", user.InvalidValue, `must be "active" or "disabled"`, allowed)
	}
	return status
}

func (a *API) setStatus(w http.ResponseWriter, c *call) error {
	status, err := decode(c, []string{mediaJSON}, readStatus, nil)
	if err != nil {
		return err
	}
	u, err := a.users.SetStatus(c.Context(), c.grant, status, conditionsOf(c.Request).user())
	if err != nil {
		return err
	}
	return writeUser(w, http.StatusOK, u)
}

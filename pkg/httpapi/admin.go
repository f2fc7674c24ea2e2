package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"

	"user-service/pkg/access"
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

func (a *API) listRoles(w http.ResponseWriter, c *call) error {
	roles, err := a.users.Roles(c.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, struct {
		Items []access.Role `json:"items"`
	}{roles})
}

func readRoles(o *object) []string {
	value, given := o.take("roles")
	if !given || value == nil {
		o.errs.Add("/roles", "is required")
		return nil
	}
	var values []json.RawMessage
	if json.Unmarshal(value, &values) != nil {
		o.errs.Add("/roles", "must be a list of role names")
		return nil
	}
	roles := make([]string, len(values))
	for i, raw := range values {
		if raw[0] != '"' || json.Unmarshal(raw, &roles[i]) != nil {
			o.errs.Add(fmt.Sprintf("/roles/%d", i), "must be the name of a role")
		}
	}
	return roles
}

func (a *API) setRoles(w http.ResponseWriter, c *call) error {
	roles, err := decode(c, []string{mediaJSON}, readRoles, nil)
	if err != nil {
		return err
	}
	u, err := a.users.SetRoles(c.Context(), c.target, roles)
	if err != nil {
		return err
	}
	return writeUser(w, http.StatusOK, u)
}

func readStatus(o *object) user.Status {
	status := user.Status(o.text("status"))
	if !status.Valid() {
		o.errs.Add("/status", `must be "active" or "disabled"`)
	}
	return status
}

func (a *API) setStatus(w http.ResponseWriter, c *call) error {
	status, err := decode(c, []string{mediaJSON}, readStatus, nil)
	if err != nil {
		return err
	}
	u, err := a.users.SetStatus(c.Context(), c.target, status)
	if err != nil {
		return err
	}
	return writeUser(w, http.StatusOK, u)
}

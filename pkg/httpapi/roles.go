package httpapi

import (
	"net/http"

	"github.com/julienschmidt/httprouter"

	"user-service/pkg/access"
	"user-service/pkg/user"
)

func (a *API) listRoles(w http.ResponseWriter, c *call) error {
	roles, err := a.users.Roles(c.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, struct {
		Items []access.Role `json:"items"`
	}{roles})
}

// readRole reads a role from a body. It ignores the name, which is in the path, so that a client can send what GET returned.
func readRole(o *object) access.Role {
	o.ignore("name")
	r := access.Role{Description: o.text("description"), SecondFactor: o.flag("second_factor")}
	for _, name := range o.names("permissions", "the name of a permission") {
		r.Permissions = append(r.Permissions, access.Permission(name))
	}
	return r
}

func (a *API) putRole(w http.ResponseWriter, c *call) error {
	name, err := roleName(c)
	if err != nil {
		return err
	}
	r, err := decode(c, []string{mediaJSON}, readRole, user.CheckRole)
	if err != nil {
		return err
	}
	r.Name = name
	if r, err = a.users.PutRole(c.Context(), c.grant, r, conditionsOf(c.Request).role()); err != nil {
		return err
	}
	w.Header().Set("ETag", roleTag(r))
	return writeJSON(w, http.StatusOK, r)
}

func (a *API) deleteRole(w http.ResponseWriter, c *call) error {
	name, err := roleName(c)
	if err != nil {
		return err
	}
	if err := a.users.DeleteRole(c.Context(), c.grant, name, conditionsOf(c.Request).role()); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func roleName(c *call) (string, error) {
	name := httprouter.ParamsFromContext(c.Context()).ByName("name")
	if !user.ValidRoleName(name) {
		return "", errParameter("The name of a role is 1 to 64 characters of a-z, 0-9, _, . and -, and begins with a letter or a digit.")
	}
	return name, nil
}

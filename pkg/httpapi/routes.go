package httpapi

import (
	"net/http"

	"user-service/pkg/access"
)

// route is one operation of the API.
type route struct {
	method string
	path   string
	who    access.Rule // who may call it
	handle handler
}

// routes is the whole API, as api/openapi.yaml describes it.
func (a *API) routes() []route {
	const get, post, put, patch, del = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete
	routes := []route{
		{post, "/register", access.Anyone(), a.register},
		{post, "/login", access.Anyone(), a.login},
		{post, "/refresh", access.Anyone(), a.refresh},
		{post, "/logout", access.Authenticated(), a.logout},

		{post, "/password-reset", access.Anyone(), a.requestReset},
		{post, "/password-reset/confirm", access.Anyone(), a.confirmReset},
		{post, "/email-verification", access.Authenticated(), a.requestVerification},
		{post, "/email-verification/confirm", access.Anyone(), a.confirmVerification},

		{get, "/users", access.Only(access.UsersRead), a.listUsers},
		{get, "/users/:id", access.SelfOr(access.UsersRead), a.getUser},
		{put, "/users/:id", access.SelfOr(access.UsersWrite), a.replaceUser},
		{patch, "/users/:id", access.SelfOr(access.UsersWrite), a.patchUser},
		{del, "/users/:id", access.SelfOr(access.UsersDelete), a.deleteUser},
		{put, "/users/:id/roles", access.Only(access.RolesAssign), a.setRoles},
		{put, "/users/:id/status", access.Only(access.UsersWrite), a.setStatus},
		{put, "/users/:id/password", access.Self(), a.changePassword},
		{post, "/users/:id/password-reset", access.Only(access.UsersWrite), a.sendReset},
		{get, "/users/:id/sessions", access.SelfOr(access.UsersRead), a.listSessions},
		{del, "/users/:id/sessions", access.SelfOr(access.UsersWrite), a.endSessions},
		{del, "/users/:id/sessions/:session_id", access.SelfOr(access.UsersWrite), a.endSession},

		{get, "/roles", access.Only(access.RolesRead), a.listRoles},
		{put, "/roles/:name", access.Only(access.RolesWrite), a.putRole},
		{del, "/roles/:name", access.Only(access.RolesWrite), a.deleteRole},

		{get, "/audit-events", access.Only(access.AuditRead), a.listAuditEvents},

		{get, "/.well-known/jwks.json", access.Anyone(), a.keys},

		{get, "/healthz", access.Anyone(), a.healthz},
		{get, "/readyz", access.Anyone(), a.readyz},
	}
	for _, method := range []string{get, post, put, patch, del, http.MethodOptions} { // a gateway may ask by that of the request
		routes = append(routes,
			route{method, "/verify", access.Authenticated(), a.verify},
			route{method, "/verify/*path", access.Authenticated(), a.verifyPath},
		)
	}
	if a.cfg.DocsEnabled {
		routes = append(routes,
			route{get, "/openapi.json", access.Anyone(), a.openAPI},
			route{get, "/docs", access.Anyone(), a.docs},
			route{get, "/docs/*file", access.Anyone(), a.docsFile},
		)
	}
	return routes
}

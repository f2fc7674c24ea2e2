package httpapi

import (
	"net/http"

	"user-service/pkg/access"
)

// route is one operation of the API.
type route struct {
	method string
	path   string
	rule   access.Rule // the callers that may call it
	quota  quotaRule   // where the requests count, and as how many
	handle handler
}

// The paths that the metadata of the service contains.
const (
	keysPath       = "/.well-known/jwks.json"
	introspectPath = "/introspect"
	revokePath     = "/revoke"
)

// verifyPattern and verifyPathPattern are the paths for forward authentication.
const (
	verifyPattern     = "/verify"
	verifyPathPattern = verifyPattern + "/*path"
)

// routes returns all operations of the API; api/openapi.yaml describes them.
func (a *API) routes() []route {
	const get, post, put, patch, del = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete
	routes := []route{
		{post, "/register", access.Anyone(), byAddress, a.register},
		{post, "/login", access.Anyone(), byAddress, a.login},
		{post, "/login/second-factor", access.Anyone(), byAddress, a.loginWithCode},
		{post, "/login/passkey/options", access.Anyone(), byAddress, a.requestPasskey},
		{post, "/login/passkey", access.Anyone(), byAddress, a.loginWithPasskey},
		{post, "/refresh", access.Anyone(), bySession, a.refresh},
		{post, "/logout", access.Anyone(), uncounted, a.logout}, // the handler checks the refresh token or the access token

		{post, "/password-reset", access.Anyone(), byAddress, a.requestReset},
		{post, "/password-reset/confirm", access.Anyone(), byReset, a.confirmReset},
		{post, "/email-verification", access.Authenticated(), mail, a.requestVerification},
		{post, "/email-verification/confirm", access.Anyone(), byAddress, a.confirmVerification},
		{post, "/invitation/confirm", access.Anyone(), byAddress, a.confirmInvitation},

		{get, "/users", access.Only(access.UsersRead), uncounted, a.listUsers},
		{post, "/users", access.Only(access.UsersWrite), write, a.inviteUser},
		{get, "/users/:id", access.SelfOr(access.UsersRead), uncounted, a.getUser},
		{put, "/users/:id", access.SelfOr(access.UsersWrite), writeOrHash, a.replaceUser},
		{patch, "/users/:id", access.SelfOr(access.UsersWrite), writeOrHash, a.patchUser},
		{del, "/users/:id", access.SelfOr(access.UsersDelete), write, a.deleteUser},
		{put, "/users/:id/roles", access.Only(access.RolesAssign), write, a.setRoles},
		{put, "/users/:id/status", access.Only(access.UsersWrite), write, a.setStatus},
		{put, "/users/:id/password", access.Self(), hash, a.changePassword},
		{post, "/users/:id/password-reset", access.Only(access.UsersWrite), write, a.sendReset},
		{post, "/users/:id/invitation", access.Only(access.UsersWrite), write, a.sendInvitation},
		{get, "/users/:id/sessions", access.SelfOr(access.UsersRead), uncounted, a.listSessions},
		{del, "/users/:id/sessions", access.SelfOr(access.UsersWrite), uncounted, a.endSessions},
		{del, "/users/:id/sessions/:session_id", access.SelfOr(access.UsersWrite), uncounted, a.endSession},
		{get, "/users/:id/export", access.SelfOr(access.UsersRead, access.AuditRead), export, a.exportUser},

		{get, "/users/:id/factors", access.SelfOr(access.UsersRead), uncounted, a.listFactors},
		{post, "/users/:id/factors", access.Self(), hash, a.addFactor},
		{post, "/users/:id/factors/:factor_id/confirm", access.Self(), write, a.confirmFactor},
		{post, "/users/:id/factors/:factor_id/remove", access.Self(), hash, a.removeFactor},
		{del, "/users/:id/factors/:factor_id", access.Only(access.UsersWrite), write, a.removeFactorOf},
		{post, "/users/:id/recovery-codes", access.Self(), hash, a.newRecoveryCodes},

		{get, "/roles", access.Only(access.RolesRead), uncounted, a.listRoles},
		{put, "/roles/:name", access.Only(access.RolesWrite), write, a.putRole},
		{del, "/roles/:name", access.Only(access.RolesWrite), write, a.deleteRole},

		{get, "/audit-events", access.Only(access.AuditRead), uncounted, a.listAuditEvents},

		{post, introspectPath, access.Only(access.TokensIntrospect), uncounted, a.introspect},
		{post, revokePath, access.Anyone(), byRevocation, a.revoke},
		{get, "/.well-known/oauth-authorization-server", access.Anyone(), uncounted, a.metadata},
		{get, keysPath, access.Anyone(), uncounted, a.keys},

		{get, "/healthz", access.Anyone(), uncounted, a.healthz},
		{get, "/readyz", access.Anyone(), uncounted, a.readyz},
	}
	routes = append(routes, a.verifyRoutes()...)
	if a.cfg.DocsEnabled {
		routes = append(routes, a.docsRoutes()...)
	}
	return routes
}

// verifyRoutes returns the routes for gateways, which may use the method of the original request.
func (a *API) verifyRoutes() (routes []route) {
	for _, method := range []string{
		http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
	} {
		routes = append(routes,
			route{method, verifyPattern, access.AnyCaller(), uncounted, a.verify},
			route{method, verifyPathPattern, access.AnyCaller(), uncounted, a.verifyPath},
		)
	}
	return routes
}

func (a *API) docsRoutes() []route {
	return []route{
		{http.MethodGet, "/", access.Anyone(), uncounted, a.root},
		{http.MethodGet, "/openapi.json", access.Anyone(), uncounted, a.openAPI},
		{http.MethodGet, "/docs", access.Anyone(), uncounted, a.docs},
		{http.MethodGet, "/docs/*file", access.Anyone(), uncounted, a.docsFile},
	}
}

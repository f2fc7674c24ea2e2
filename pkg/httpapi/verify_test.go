package httpapi_test

import (
	"strings"
	"testing"
)

// TestAGatewayMayAskByAnyMethodAndPath sends what Envoy's ext_authz sends: the method of the request, and
// its path behind /verify. Envoy takes 200 alone for a yes; the others take any 2xx.
func TestAGatewayMayAskByAnyMethodAndPath(t *testing.T) {
	t.Parallel()
	s := start(t)
	a, ended := s.register(), s.register()
	s.call("POST", "/logout", nil, as(ended.token)).want(t, 204)
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		for path, status := range map[string]int{
			"/verify": 204, "/verify/": 200, "/verify/orders": 200, "/verify/orders/7?page=2": 200,
			"/verify/users/me": 200, "/verify//orders/a%2Fb": 200, "/verify/../users": 200,
		} {
			got := s.call(method, path, nil, as(a.token), header("Content-Length", "0")).want(t, status)
			if len(got.body) != 0 || got.header.Get("X-User-Id") != a.ID.String() || got.header.Get("X-User-Roles") != "user" {
				t.Errorf("%s %s: %v %s", method, path, got.header, got.body)
			}
			for _, token := range []string{ended.token, "x"} {
				refused := s.call(method, path, nil, as(token)).want(t, 401)
				if refused.header.Get("X-User-Id") != "" {
					t.Errorf("%s %s names a user who has left: %v", method, path, refused.header)
				}
			}
			s.call(method, path, nil).want(t, 401)
		}
	}
	s.call("GET", "/users/me", nil, as(a.token)).want(t, 200) // asking by DELETE has deleted nobody
}

// TestVerifyIgnoresABody of whatever length and type, as a gateway may hand on that of the request.
func TestVerifyIgnoresABody(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	for _, body := range []string{"{", strings.Repeat("x", 1<<20)} {
		s.call("POST", "/verify", body, as(a.token), header("Content-Type", "text/csv")).want(t, 204)
		s.call("POST", "/verify/orders", body, as(a.token), header("Content-Type", "text/csv")).want(t, 200)
	}
	s.call("PROPFIND", "/verify/orders", nil, as(a.token)).wantProblem(t, 405, "method-not-allowed")
}

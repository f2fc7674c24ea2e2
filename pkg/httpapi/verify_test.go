package httpapi_test

import (
	"strings"
	"testing"
)

// TestVerifyAcceptsAnyMethodAndPath sends the requests of Envoy's ext_authz: the method of the original request, and its path after
// /verify. Envoy accepts only 200 as success; other gateways accept any 2xx.
func TestVerifyAcceptsAnyMethodAndPath(t *testing.T) {
	t.Parallel()
	s := start(t)
	a, ended := s.register(), s.register()
	s.call("POST", "/logout", nil, as(ended.token)).want(t, 204)
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "TRACE", "PURGE"} {
		for path, status := range map[string]int{
			"/verify": 204, "/verify/": 200, "/verify/orders": 200, "/verify/orders/7?page=2": 200,
			"/verify/users/me": 200, "/verify//orders/a%2Fb": 200, "/verify/../users": 200,
		} {
			got := s.call(method, path, nil, as(a.token), header("Content-Length", "0")).want(t, status)
			if len(got.body) != 0 || got.header.Get("X-User-Id") != a.ID.String() || got.header.Get("X-User-Roles") != "user" {
				t.Errorf("%s %s: the header is %v and the body %q, want the id, the role user and no body", method,
					path, got.header, got.body)
			}
			for _, token := range []string{ended.token, "x"} {
				refused := s.call(method, path, nil, as(token)).want(t, 401)
				if refused.header.Get("X-User-Id") != "" {
					t.Errorf("%s %s: the header of a refusal is %v, want no X-User-Id", method, path, refused.header)
				}
			}
			s.call(method, path, nil).want(t, 401)
		}
	}
	s.call("GET", "/users/me", nil, as(a.token)).want(t, 200) // the DELETE requests did not delete the user
}

// TestVerifyIgnoresABody covers bodies of any length and type, because a gateway may pass the body of the original request.
func TestVerifyIgnoresABody(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	for _, body := range []string{"{", strings.Repeat("x", 1<<20)} {
		s.call("POST", "/verify", body, as(a.token), header("Content-Type", "text/csv")).want(t, 204)
		s.call("POST", "/verify/orders", body, as(a.token), header("Content-Type", "text/csv")).want(t, 200)
	}
	if got := s.call("PROPFIND", "/verifying", nil, as(a.token)).want(t, 404); got.header.Get("X-User-Id") != "" {
		t.Error("another path returns the headers of /verify")
	}
}

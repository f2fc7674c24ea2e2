package httpapi_test

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"user-service/pkg/access"
)

// notActive is the whole response about a token that is not active.
const notActive = `{"active":false}`

// introspector returns a function that introspects a token as a service with only the permission tokens:introspect.
func (s *server) introspector() func(token string) map[string]any {
	s.t.Helper()
	admin := s.admin()
	body := map[string]any{"permissions": []access.Permission{access.TokensIntrospect}}
	s.call("PUT", "/roles/resource-server", body, as(admin.token)).want(s.t, 200)
	caller := s.with("resource-server")
	return func(token string) map[string]any {
		s.t.Helper()
		got := s.call("POST", "/introspect", url.Values{"token": {token}}, as(caller.token)).want(s.t, 200)
		if got.header.Get("Cache-Control") != "no-store" || got.header.Get("Content-Type") != jsonType {
			s.t.Errorf("the header is %v, want JSON that is not stored", got.header)
		}
		found := decode[map[string]any](s.t, got)
		if found["active"] != true && strings.TrimSpace(string(got.body)) != notActive {
			s.t.Errorf("the response about an inactive token is %s, want %s", got.body, notActive)
		}
		return found
	}
}

// claimsOf returns the claims of an access token, as JSON decodes them.
func claimsOf(t *testing.T, token string) map[string]any {
	t.Helper()
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(token, claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// TestIntrospectionOfAnAccessToken compares the response with the claims of the token. After changes of the account, the members about the
// account are current, and the others are unchanged.
func TestIntrospectionOfAnAccessToken(t *testing.T) {
	t.Parallel()
	s := start(t)
	introspect, admin, a := s.introspector(), s.admin(), s.register()
	want := claimsOf(t, a.token)
	want["active"], want["token_type"] = true, "Bearer"
	if diff := cmp.Diff(want, introspect(a.token)); diff != "" {
		t.Errorf("the response (-claims +response): %s", diff)
	}
	s.call("PUT", "/roles/clerk", `{"permissions":["orders:refund"]}`, as(admin.token)).want(t, 200)
	s.call("PUT", a.path()+"/roles", `{"roles":["user","clerk"]}`, as(admin.token)).want(t, 200)
	s.call("POST", "/email-verification/confirm", verificationOf(s, a)).want(t, 204)
	want["roles"], want["permissions"], want["email_verified"] = []any{"clerk", "user"}, []any{"orders:refund"}, true
	if diff := cmp.Diff(want, introspect(a.token)); diff != "" {
		t.Errorf("the response after changes (-want +response): %s", diff)
	}
}

// TestIntrospectionOfARefreshToken checks how the response differs from the response about an access token. The type is not Bearer, and
// there are neither aud nor jti.
func TestIntrospectionOfARefreshToken(t *testing.T) {
	t.Parallel()
	s := start(t)
	introspect, a := s.introspector(), s.register()
	want := claimsOf(t, a.token)
	got := introspect(a.refresh)
	expires, _ := got["exp"].(float64)
	if ahead := time.Until(time.Unix(int64(expires), 0)); ahead <= 30*time.Minute || ahead > time.Hour {
		t.Errorf("the refresh token expires in %s, want in an hour, as the session does", ahead)
	}
	issued, _ := got["iat"].(float64)
	if issued > float64(time.Now().Unix()) || issued < want["auth_time"].(float64) {
		t.Errorf("the refresh token was issued at %v, want after the login at %v", issued, want["auth_time"])
	}
	want["active"], want["token_type"], want["exp"], want["iat"] = true, "N_A", got["exp"], got["iat"]
	delete(want, "aud")
	delete(want, "jti")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the response (-want +response): %s", diff)
	}
}

// TestIntrospectionReflectsRevocation introspects both tokens of a user after each way of losing access.
func TestIntrospectionReflectsRevocation(t *testing.T) {
	t.Parallel()
	s := start(t)
	introspect, admin := s.introspector(), s.admin()
	for name, lose := range map[string]func(a account) answer{
		"logout": func(a account) answer { return s.call("POST", "/logout", nil, as(a.token)) },
		"disable": func(a account) answer {
			return s.call("PUT", a.path()+"/status", `{"status":"disabled"}`, as(admin.token))
		},
		"erase":  func(a account) answer { return s.call("DELETE", a.path(), nil, as(admin.token)) },
		"end":    func(a account) answer { return s.call("DELETE", a.path()+"/sessions", nil, as(admin.token)) },
		"revoke": func(a account) answer { return s.call("POST", "/revoke", url.Values{"token": {a.refresh}}) },
		"new password": func(a account) answer {
			return s.call("PUT", "/users/me/password", change(a.password, newPassword), as(a.token))
		},
		"expiry of the session": func(a account) answer {
			s.execute(`UPDATE sessions SET expires_at = now() WHERE user_id = $1`, a.ID)
			return answer{status: 204}
		},
	} {
		a := s.register()
		if introspect(a.token)["active"] != true || introspect(a.refresh)["active"] != true {
			t.Errorf("%s: a token is not active before, want both active", name)
		}
		if got := lose(a); got.status >= 300 {
			t.Fatalf("%s: status is %d, want a success: %s", name, got.status, got.body)
		}
		if introspect(a.token)["active"] != false || introspect(a.refresh)["active"] != false {
			t.Errorf("%s: a token is still active, want none", name)
		}
	}
}

// TestIntrospectionOfOtherTexts checks that every text without an active token gets the same response.
func TestIntrospectionOfOtherTexts(t *testing.T) {
	t.Parallel()
	s := start(t)
	introspect, a := s.introspector(), s.register()
	texts := map[string]string{
		"made up": "x", "one space": " ", "NUL": "\x00", "line ends": a.token + "\r\n", "expired": expired(t, a.token),
		"forged access": flipped(a.token), "forged refresh": flipped(a.refresh), "two": a.token + " " + a.token,
		"one-time token": s.askForReset(a.Email), "long": strings.Repeat("x", 60<<10),
	}
	for name, text := range texts {
		if got := introspect(text); got["active"] != false {
			t.Errorf("%s: the response is %v, want %s", name, got, notActive)
		}
	}
}

// TestIntrospectionUsesNoRefreshToken introspects a refresh token before and after its rotation. Both tokens work as if nobody had
// introspected them, and nothing is recorded.
func TestIntrospectionUsesNoRefreshToken(t *testing.T) {
	t.Parallel()
	s := start(t)
	introspect, admin, a := s.introspector(), s.admin(), s.register()
	refresh := func(token string) answer { return s.call("POST", "/refresh", map[string]any{"refresh_token": token}) }
	for range 3 {
		if introspect(a.refresh)["active"] != true {
			t.Fatal("the current token is not active, want it active")
		}
	}
	next := decode[tokens](t, refresh(a.refresh).want(t, 200))
	if introspect(a.refresh)["active"] != false || introspect(next.RefreshToken)["active"] != true {
		t.Error("after the rotation, want the used token inactive and its successor active")
	}
	s.execute(`UPDATE sessions SET turned_at = turned_at - interval '1 minute' WHERE user_id = $1`, a.ID) // the grace has ended
	if introspect(a.refresh)["active"] != false || introspect(next.AccessToken)["active"] != true {
		t.Error("the introspection of a used token ends the session, want no change")
	}
	s.call("GET", "/users/me", nil, as(next.AccessToken)).want(t, 200)
	for _, e := range s.audit(admin.token, "user_id="+a.ID.String()) {
		if !slices.Contains([]string{"user_created", "authn_login_success", "authn_token_created"}, e.Action) {
			t.Errorf("the trail has %s, want only the registration and the login", e.Action)
		}
	}
	refresh(a.refresh).want(t, 401) // the refresh itself detects the reuse
	s.call("GET", "/users/me", nil, as(next.AccessToken)).want(t, 401)
}

// TestFormsAreChecked sends malformed forms to both endpoints. The problem document has the error of OAuth.
func TestFormsAreChecked(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin, a := s.admin(), s.register()
	form := header("Content-Type", formType)
	for _, path := range []string{"/introspect", "/revoke"} {
		send := func(body any, with ...option) answer {
			return s.call("POST", path, body, append(with, as(admin.token))...)
		}
		for name, body := range map[string]string{
			"empty": "", "no token": "token_type_hint=access_token", "an empty token": "token=", "two tokens": "token=a&token=b",
			"the same token twice": "token=a&token=a", "two hints": "token=a&token_type_hint=x&token_type_hint=x",
			"a broken escape": "token=%zz", "a semicolon": "token=a;b=c", "Latin-1": "token=%e4", "Latin-1 name": "%e4=1&token=a",
		} {
			got := send(body, form)
			got.wantProblem(t, 400, "malformed-request")
			if oauth := decode[struct{ Error string }](t, got).Error; oauth != "invalid_request" {
				t.Errorf("%s: %s: error is %q, want invalid_request", path, name, oauth)
			}
		}
		send(nil).wantProblem(t, 400, "malformed-request") // neither a body nor a media type
		send("token="+a.token).wantProblem(t, 415, "unsupported-media-type")
		send(`{"token":"x"}`, header("Content-Type", "text/plain")).wantProblem(t, 415, "unsupported-media-type")
		send("token=x", header("Content-Type", formType+"; charset=iso-8859-1")).wantProblem(t, 415, "unsupported-media-type")
		send("token=x", form, header("Content-Encoding", "gzip")).wantProblem(t, 415, "unsupported-media-type")
		send("token="+strings.Repeat("x", 64<<10), form).wantProblem(t, 413, "content-too-large")
	}
	for _, body := range []string{
		"token=x&token_type_hint=cookie", "token=x&unknown=1&token_type_hint=", "unknown=&token=x",
	} {
		s.call("POST", "/introspect", body, form, as(admin.token)).want(t, 200)
		s.call("POST", "/revoke", body, header("Content-Type", formType+"; charset=UTF-8")).want(t, 200)
	}
	s.call("GET", "/users/me", nil, as(a.token)).want(t, 200) // nothing was revoked
}

// TestTheTokenOfTheCallerComesFirst sends a huge body without authorization. The response is about the missing token, not about the body.
func TestTheTokenOfTheCallerComesFirst(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, body := range []string{"", "token=a&token=b", strings.Repeat("x", 100<<10)} {
		s.call("POST", "/introspect", body).wantProblem(t, 401, "authentication-required")
		s.call("POST", "/introspect", body, as("x")).wantProblem(t, 401, "invalid-access-token")
		s.call("POST", "/introspect", body, as(s.register().token)).wantProblem(t, 403, "forbidden")
	}
}

// TestTheServerMetadata compares the metadata with the contract, for each form of JWT_ISSUER.
func TestTheServerMetadata(t *testing.T) {
	t.Parallel()
	for iss, base := range map[string]string{
		"https://id.example.com": "https://id.example.com", "https://id.example.com/accounts": "https://id.example.com/accounts",
		"http://127.0.0.1:8080": "http://127.0.0.1:8080", "https://id.example.com/": "https://id.example.com",
		"user-service": "", "": "", "https://": "", "ftp://id.example.com": "", "https://id.example.com?a=b": "",
		"https://id.example.com#a": "",
		"urn:example:id":           "", "https://a@id.example.com": "", "://": "",
	} {
		s := start(t, func(set *settings) { set.issuer = iss })
		got := s.call("GET", "/.well-known/oauth-authorization-server", nil)
		if base == "" {
			got.wantProblem(t, 404, "not-found")
			continue
		}
		got.want(t, 200)
		want := map[string]any{
			"issuer": iss, "jwks_uri": base + "/.well-known/jwks.json",
			"introspection_endpoint": base + "/introspect", "introspection_endpoint_auth_methods_supported": []any{"Bearer"},
			"revocation_endpoint": base + "/revoke", "revocation_endpoint_auth_methods_supported": []any{"none"},
			"response_types_supported": []any{},
		}
		var found map[string]any
		if err := json.Unmarshal(got.body, &found); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, found); diff != "" {
			t.Errorf("%s: the metadata (-want +got): %s", iss, diff)
		}
		if got.header.Get("Content-Type") != jsonType || got.header.Get("Cache-Control") != "public, max-age=300" {
			t.Errorf("the header is %v, want JSON that may be cached for 300 seconds", got.header)
		}
		s.call("GET", "/.well-known/oauth-authorization-server", nil, header("If-None-Match", got.header.Get("ETag"))).want(t, 304)
		checkIfMatch(t, s, "/.well-known/oauth-authorization-server")
	}
}

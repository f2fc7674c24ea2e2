package gateway_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// stage is a gateway in front of an app, and the service that authenticates its requests.
type stage struct {
	*service
	*edge
	app *app
}

// behindEach runs a test behind each of the gateways.
func behindEach(t *testing.T, test func(*testing.T, *stage)) {
	t.Parallel()
	one := startService(t)
	for name, start := range gateways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &stage{service: one.of(t), app: startApp(t)}
			s.edge = newEdge(t, s.addr, s.app.addr)
			start(t, s.edge)
			test(t, s)
		})
	}
}

// post sends a request through the gateway, with the token if there is one.
func (s *stage) post(t *testing.T, token string, more map[string]string) (status int, challenge string, got arrival) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+s.shop+"/api/orders?page=2", strings.NewReader("one tea"))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for name, value := range more {
		req.Header[name] = []string{value} // keeps this spelling
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusOK {
		if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
			t.Fatal(err)
		}
	}
	return resp.StatusCode, resp.Header.Get("WWW-Authenticate"), got
}

// wantRefusal requires a 401 with a reason. The app must not receive the request.
func (s *stage) wantRefusal(t *testing.T, token string, more map[string]string) {
	t.Helper()
	before := s.app.requests.Load()
	status, challenge, _ := s.post(t, token, more)
	if status != http.StatusUnauthorized || !strings.HasPrefix(challenge, "Bearer") {
		t.Errorf("%d, WWW-Authenticate %q, want 401 and a challenge", status, challenge)
	}
	if n := s.app.requests.Load() - before; n != 0 {
		t.Errorf("%d refused requests reached the app, want none", n)
	}
}

// wantIdentity requires that the unchanged request reaches the app with this identity.
func (s *stage) wantIdentity(t *testing.T, token string, more, identity map[string]string) {
	t.Helper()
	status, _, got := s.post(t, token, more)
	if status != http.StatusOK {
		t.Fatalf("%d, want 200", status)
	}
	for name, value := range got.Identity {
		if value == "" {
			delete(got.Identity, name) // Caddy sends an empty header, nginx none
		}
	}
	if diff := cmp.Diff(arrival{Request: "POST /orders?page=2 one tea", Identity: identity}, got); diff != "" {
		t.Errorf("the request at the app (-want +got):\n%s", diff)
	}
}

// forged are headers of a client that pretends to be another user, in spellings that frameworks treat alike.
var forged = map[string]string{
	"X-User-Id": "forged", "X-User-Email-Verified": "true", "X-User-Roles": "forged", "X-User-Permissions": "forged",
	"X_User_Email_Verified": "true", "x-user-email_verified": "true",
	"x-user-id": "forged", "X_User_Id": "forged", "X_USER_ROLES": "forged", "X-User_Permissions": "forged", "X_User-Id": "forged",
}

func TestAGatewayRefusesARequestWithoutAValidToken(t *testing.T) {
	behindEach(t, func(t *testing.T, s *stage) {
		s.wantRefusal(t, "", nil)
		s.wantRefusal(t, "", forged)
		s.wantRefusal(t, "no token", forged)
	})
}

func TestAGatewayPassesTheIdentityToTheApp(t *testing.T) {
	behindEach(t, func(t *testing.T, s *stage) {
		admin, user := s.logIn("admin"), s.logIn("user")
		s.wantIdentity(t, user.token, nil,
			map[string]string{"X-User-Id": user.id, "X-User-Email-Verified": "false", "X-User-Roles": "user"})
		s.wantIdentity(t, admin.token, nil, map[string]string{
			"X-User-Id": admin.id, "X-User-Email-Verified": "false", "X-User-Roles": "admin",
			"X-User-Permissions": "audit:read,roles:assign,roles:read,roles:write,tokens:introspect,users:delete,users:read,users:write",
		})
	})
}

func TestAGatewayReplacesForgedIdentities(t *testing.T) {
	behindEach(t, func(t *testing.T, s *stage) {
		user := s.logIn("user")
		s.wantIdentity(t, user.token, forged,
			map[string]string{"X-User-Id": user.id, "X-User-Email-Verified": "false", "X-User-Roles": "user"})
	})
}

func TestAGatewayRefusesAnEndedSessionImmediately(t *testing.T) {
	behindEach(t, func(t *testing.T, s *stage) {
		user := s.logIn("user")
		s.wantIdentity(t, user.token, nil,
			map[string]string{"X-User-Id": user.id, "X-User-Email-Verified": "false", "X-User-Roles": "user"})
		s.logOut(user)
		s.wantRefusal(t, user.token, nil)
	})
}

// TestAGatewayAcceptsTheLargestUser sends a token of the maximum length. The app must get identity headers of the maximum length.
func TestAGatewayAcceptsTheLargestUser(t *testing.T) {
	behindEach(t, func(t *testing.T, s *stage) {
		admin := s.logIn("admin")
		var roles, permissions []string
		for i := range 28 {
			roles = append(roles, fmt.Sprintf("%s-%02d-%s", strings.ToLower(rand.Text()), i, strings.Repeat("r", 64))[:64])
		}
		for i := range 2 { // each permission adds 3 bytes to a token
			var of []string
			for j := range 27 {
				of = append(of, fmt.Sprintf("%s:%d-%02d", strings.Repeat("p", 105), i, j))
			}
			s.put(admin, "/roles/"+roles[i], map[string]any{"permissions": of})
			permissions = append(permissions, of...)
		}
		for _, name := range roles[2:] {
			s.put(admin, "/roles/"+name, map[string]any{"permissions": []string{}})
		}
		user := s.logIn("user")
		s.put(admin, "/users/"+user.id+"/roles", map[string]any{"roles": roles})
		user.token = s.token(user.email)
		if n := len(user.token); n < 10<<10 {
			t.Errorf("the token has %d bytes, want at least 10 KiB", n)
		}
		slices.Sort(roles)
		s.wantIdentity(t, user.token, nil, map[string]string{
			"X-User-Id": user.id, "X-User-Email-Verified": "false",
			"X-User-Roles": strings.Join(roles, ","), "X-User-Permissions": strings.Join(permissions, ","),
		})
	})
}

package gateway_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"user-service/internal/testkit"
)

// TestTheAdministrationIsNotPublic sends requests of an administrator to all addresses of a gateway.
func TestTheAdministrationIsNotPublic(t *testing.T) {
	behindEach(t, func(t *testing.T, s *stage) {
		admin := s.logIn("admin")
		for _, path := range []string{
			"/users", "/roles", "/audit-events", "/introspect", "/verify", "/docs", "/openapi.json", "/healthz", "/readyz", "/metrics",
			"/users/" + admin.id,
		} {
			for _, odd := range []string{
				path, "/auth" + path, "/auth/" + path, "/AUTH" + path, "/auth/users/me/../.." + path, "/auth/users/me/%2e%2e/%2e%2e" + path,
				"/auth/users/me/..%2f.." + strings.ReplaceAll(path, "/", "%2f"), "/auth/login/.." + path,
				"/auth" + path + "?/users/me", "/_verify",
				"/auth/users/me;/../.." + path, `/auth/users/me/..\..` + path,
			} {
				for _, address := range []string{s.shop, s.internal} {
					if status := rawStatus(t, "", address, odd, admin.token); status < 300 {
						t.Errorf("%s: %d", odd, status)
					}
				}
			}
			if status := rawStatus(t, "127.0.0.9", s.admin, path, admin.token); status != http.StatusForbidden {
				t.Errorf("%s from another network: %d, want 403", path, status)
			}
		}
		for _, path := range []string{"/users", "/roles", "/audit-events", "/docs", "/readyz", "/openapi.json"} {
			if status := rawStatus(t, "", s.admin, path, admin.token); status != http.StatusOK {
				t.Errorf("%s for administrators: %d, want 200", path, status)
			}
		}
		for path, want := range map[string]int{
			"/auth/users/me": 200, "/auth/users/me/sessions": 200, "/auth/.well-known/jwks.json": 200, "/auth/login": 405,
			"/auth/.well-known/oauth-authorization-server": 200, "/auth/revoke": 405, "/auth/introspect": 404,
		} {
			if status := rawStatus(t, "", s.shop, path, admin.token); status != want {
				t.Errorf("%s: %d, want %d", path, status, want)
			}
		}
		for _, address := range []string{s.shop, s.internal, s.admin} {
			_, port, _ := net.SplitHostPort(address)
			if accepts("127.0.0.2:" + port) {
				t.Errorf("the gateway also listens on other addresses than %s", address)
			}
		}
	})
}

// rawStatus sends a request from an address of this machine, with an unchanged path, and returns the status.
func rawStatus(t *testing.T, from, to, path, token string) int {
	t.Helper()
	dialer := net.Dialer{Timeout: testkit.Timeout}
	if from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	conn, err := dialer.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: "+to+"\r\nAuthorization: Bearer "+token+"\r\nConnection: close\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// TestAGatewayExplainsRefusals requires a problem document for a missing token, and while the user service is unavailable.
func TestAGatewayExplainsRefusals(t *testing.T) {
	behindEach(t, func(t *testing.T, s *stage) {
		wantProblemOf(t, "http://"+s.shop+"/api/orders", http.StatusUnauthorized, "/problems/authentication-required")
	})
	t.Run("unavailable", func(t *testing.T) {
		for name, start := range gateways {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				e := newEdge(t, testkit.FreeAddress(t), testkit.FreeAddress(t))
				start(t, e)
				want, problem := http.StatusServiceUnavailable, "/problems/unavailable"
				if name == "Caddy" {
					want, problem = http.StatusBadGateway, ""
				}
				wantProblemOf(t, "http://"+e.shop+"/api/orders", want, problem)
			})
		}
	})
}

// wantProblemOf requires a status with a problem document of this type, or without a body.
func wantProblemOf(t *testing.T, address string, status int, problemType string) {
	t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var problem struct {
		Type   string
		Status int
	}
	if problemType != "" {
		err = json.NewDecoder(resp.Body).Decode(&problem)
		if problem.Status != status || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("the problem is %+v, %s", problem, resp.Header.Get("Content-Type"))
		}
	}
	if err != nil || resp.StatusCode != status || problem.Type != problemType {
		t.Errorf("%s, %s, %v, want %d, %s", resp.Status, problem.Type, err, status, problemType)
	}
	challenges := resp.Header.Values("WWW-Authenticate")
	if status == http.StatusUnauthorized && (len(challenges) != 1 || !strings.HasPrefix(challenges[0], "Bearer")) {
		t.Errorf("WWW-Authenticate is %q", challenges)
	}
}

// TestTheLocationIsRightBelowAPrefix checks the Location of a registration at a gateway that publishes the service below /auth.
func TestTheLocationIsRightBelowAPrefix(t *testing.T) {
	behindEach(t, func(t *testing.T, s *stage) {
		address := "http://" + s.shop + "/auth/register"
		gateway := strings.ToLower(t.Name()[strings.LastIndex(t.Name(), "/")+1:])
		body := `{"email":"` + gateway + `-prefix@example.com","password":"` + secret + `"}`
		resp, err := http.Post(address, "application/json", bytes.NewBufferString(body))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		var user struct{ ID string }
		if err := json.NewDecoder(resp.Body).Decode(&user); err != nil || resp.StatusCode != http.StatusCreated {
			t.Fatalf("%s, %v", resp.Status, err)
		}
		location, err := resp.Location()
		if want := "/auth/users/" + user.ID; err != nil || location.Path != want {
			t.Errorf("the location is %v, %v, want %s", location, err, want)
		}
	})
}

// TestTheServiceSeesTheAddressOfTheClient logs in through the gateway, with and without the BFF, and checks the address of the session.
func TestTheServiceSeesTheAddressOfTheClient(t *testing.T) {
	inEachShop(t, "", func(t *testing.T, s *shop) {
		user := s.logIn("user")
		client := &http.Client{Transport: &http.Transport{
			TLSClientConfig: trusting(s.host),
			DialContext:     (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.5")}}).DialContext,
		}}
		target := url.URL{Scheme: "https", Host: s.shop}
		for _, path := range []string{"/auth/login", "/bff/login"} {
			body := `{"email":"` + user.email + `","password":"` + secret + `"}`
			req, err := http.NewRequest(http.MethodPost, target.JoinPath(path).String(), strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Host = strings.TrimPrefix(s.origin(), "https://")
			req.Header = http.Header{"Content-Type": {"application/json"}, "X-Shop": {"1"}, "X-Forwarded-For": {"203.0.113.9"}}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode >= 300 {
				t.Errorf("%s: %s", path, resp.Status)
			}
		}
		addresses := map[string]int{}
		for _, session := range s.sessions(t, user) {
			addresses[session.IP]++
		}
		if addresses["127.0.0.5"] != 2 || addresses["127.0.0.1"] != 1 {
			t.Errorf("the sessions by address: %v", addresses)
		}
	})
}

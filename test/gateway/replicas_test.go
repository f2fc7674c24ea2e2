package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"user-service/internal/testkit"
)

// TestASessionContinuesAtOtherReplicasOfTheBFF sends the cookie of one BFF to two new ones at the same time. They refresh with the
// same token, and the service gives both the same successor.
func TestASessionContinuesAtOtherReplicasOfTheBFF(t *testing.T) {
	inEachShop(t, "", func(t *testing.T, s *shop) {
		user := s.logIn("user")
		first, second, third := s.bff, testkit.FreeAddress(t), testkit.FreeAddress(t)
		s.startBFF(t, second)
		s.startBFF(t, third)
		status, cookie := s.ask(t, http.MethodPost, first, "/bff/login", "", `{"email":"`+user.email+`","password":"`+secret+`"}`)
		if status != http.StatusNoContent || cookie == "" {
			t.Fatalf("the login gets %d, and the cookie %q", status, cookie)
		}
		type answer struct {
			status int
			cookie string
		}
		answers := make(chan answer, 2)
		for _, replica := range []string{second, third} {
			go func() {
				status, cookie := s.ask(t, http.MethodGet, replica, "/bff/users/me", cookie, "")
				answers <- answer{status, cookie}
			}()
		}
		one, two := testkit.Receive(t, "an answer", answers), testkit.Receive(t, "an answer", answers)
		if one.status != http.StatusOK || one != two || one.cookie == cookie || one.cookie == "" {
			t.Errorf("the replicas answer %+v and %+v", one, two)
		}
		for _, replica := range []string{first, second, third} {
			if status, _ := s.ask(t, http.MethodGet, replica, "/bff/users/me", one.cookie, ""); status != http.StatusOK {
				t.Errorf("a replica answers %d", status)
			}
		}
		for _, invalid := range []string{"", "__Host-Http-session=forged"} {
			if status, _ := s.ask(t, http.MethodGet, first, "/bff/users/me", invalid, ""); status != http.StatusUnauthorized {
				t.Errorf("with the cookie %q: %d, want 401", invalid, status)
			}
		}
	})
}

// TestALogoutCanBeRepeated logs out at a BFF whose user service is overloaded, and at one that can't reach it. Both must keep the cookie.
// Then it logs out at another BFF, twice.
func TestALogoutCanBeRepeated(t *testing.T) {
	inEachShop(t, "", func(t *testing.T, s *shop) {
		user := s.logIn("user")
		_, cookie := s.ask(t, http.MethodPost, s.bff, "/bff/login", "", `{"email":"`+user.email+`","password":"`+secret+`"}`)
		cut := testkit.FreeAddress(t)
		startSample(t, "bff", "-listen", cut, "-shop", s.origin(), "-users", "http://"+testkit.FreeAddress(t))
		testkit.WaitFor(t, "the BFF", func() bool { return accepts(cut) })
		overloaded := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}))
		defer overloaded.Close()
		busy := testkit.FreeAddress(t)
		startSample(t, "bff", "-listen", busy, "-shop", s.origin(), "-users", overloaded.URL)
		testkit.WaitFor(t, "the BFF of an overloaded service", func() bool { return accepts(busy) })
		for _, attempt := range []struct {
			bff    string
			status int
			set    string
		}{
			{busy, http.StatusServiceUnavailable, ""},
			{cut, http.StatusBadGateway, ""},
			{s.bff, http.StatusNoContent, "__Host-Http-session="},
			{s.bff, http.StatusNoContent, "__Host-Http-session="},
		} {
			if status, set := s.ask(t, http.MethodPost, attempt.bff, "/bff/logout", cookie,
				""); status != attempt.status || set != attempt.set {
				t.Errorf("a logout gets %d and sets %q, want %d, %q", status, set, attempt.status, attempt.set)
			}
		}
		if status, _ := s.ask(t, http.MethodGet, s.bff, "/bff/users/me", cookie, ""); status != http.StatusUnauthorized {
			t.Errorf("after the logout: %d, want 401", status)
		}
	})
}

// ask sends a request to a BFF, and returns the status and the cookie that it sets.
func (s *shop) ask(t *testing.T, method, bff, path, cookie, body string) (status int, set string) {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+bff+path, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	req.Header = http.Header{"Content-Type": {"application/json"}, "X-Shop": {"1"}, "Cookie": {cookie}}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	_ = resp.Body.Close()
	set, _, _ = strings.Cut(resp.Header.Get("Set-Cookie"), ";")
	return resp.StatusCode, set
}

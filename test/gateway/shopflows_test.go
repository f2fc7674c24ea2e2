package gateway_test

import (
	"crypto/rand"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"user-service/internal/testkit"
)

// TestAPersonUsesTheShop registers in a browser, follows the links of the mails, and buys something.
func TestAPersonUsesTheShop(t *testing.T) {
	inEachShop(t, "", func(t *testing.T, s *shop) {
		p, email := newPerson(t, s.origin()), strings.ToLower(rand.Text())+"@example.com"
		p.open("/register")
		p.send("/bff/register", "email", email, "name", "Ada", "password", "short")
		p.see("Password needs at least 15 characters.")
		p.send("/bff/register", "email", email, "name", "Ada", "password", secret)
		p.see("Look into your mailbox")

		p.logInAs(email, secret)
		p.send("/bff/orders")
		p.see("Please confirm your email before you order.")
		p.open("/verify-email#token=" + s.mailed(t, "user.email_verification_requested", email))
		if address := p.value("location.href"); address != s.origin()+"/verify-email" {
			t.Errorf("the token stays in the address: %s", address)
		}
		p.send("/bff/email-verification/confirm")
		p.see("Your email is confirmed.")
		if hidden := p.value(`document.querySelector('form[action="/bff/email-verification/confirm"]').hidden`); hidden != "true" {
			t.Error("the page still shows the button of the used link")
		}

		p.open("/")
		p.send("/bff/orders")
		p.see("Assam is ordered.")
		p.open("/account")
		p.see("(confirmed)")
		p.open("/")
		p.see("Assam, ") // in the list of orders
		wantNoTokenInReach(t, p)

		p.send("/bff/logout")
		p.see("Register")
		if cookies := p.cookies(); len(cookies) != 0 {
			t.Errorf("cookies are left after the logout: %v", cookies[0].Name)
		}
	})
}

// wantNoTokenInReach requires that scripts find no token, and that the cookie is as RFC 10017 section 6.1.3.2 requires.
func wantNoTokenInReach(t *testing.T, p *tab) {
	t.Helper()
	cookies := p.cookies()
	if len(cookies) != 1 {
		t.Fatalf("%d cookies, want one", len(cookies))
	}
	c := cookies[0]
	if c.Name != "__Host-Http-session" || !c.HTTPOnly || !c.Secure || c.SameSite != "Strict" || c.Path != "/" || c.Domain != p.hostname() {
		t.Errorf("the cookie is %+v", *c)
	}
	for _, place := range []string{
		"document.cookie", "JSON.stringify(localStorage)", "JSON.stringify(sessionStorage)", "document.documentElement.outerHTML",
	} {
		if found := p.value(place); hasToken(found, c.Value) || place == "document.cookie" && found != "" {
			t.Errorf("%s has a token: %s", place, found)
		}
	}
	answer := p.run(`fetch('/bff/users/me', {headers: {'X-Shop': '1'}}).then(async (r) => [...r.headers].join() + await r.text())`)
	if !strings.Contains(answer, "email") || hasToken(answer, c.Value) {
		t.Errorf("a response has a token: %s", answer)
	}
}

// hasToken reports whether a text contains the refresh token or the beginning of a JWT.
func hasToken(text, refreshToken string) bool {
	return strings.Contains(text, refreshToken) || strings.Contains(text, "eyJ")
}

func (p *tab) hostname() string {
	host, _, _ := strings.Cut(strings.TrimPrefix(p.origin, "https://"), ":")
	return host
}

// TestTwoTabsRefreshAnExpiredSessionOnce lets two tabs send requests at the same time after the access token has expired. It then waits
// until the next access token has expired, and logs out.
func TestTwoTabsRefreshAnExpiredSessionOnce(t *testing.T) {
	inEachShop(t, "", func(t *testing.T, s *shop) {
		user := s.logIn("user")
		one := newPerson(t, s.origin())
		one.logInAs(user.email, secret)
		two := one.another()
		two.open("/")
		two.see(user.email)
		before := one.cookies()[0].Value

		s.waitForExpiry(t, user)
		refreshes, statuses := s.refreshes.Load(), make(chan string, 2)
		for _, p := range []*tab{one, two} {
			go func() { statuses <- p.run("fetch('/bff/users/me', {headers: {'X-Shop': '1'}}).then((r) => r.status)") }()
		}
		for range 2 {
			if status := testkit.Receive(t, "the answers", statuses); status != "200" {
				t.Errorf("a tab got %s", status)
			}
		}
		if n := s.refreshes.Load() - refreshes; n != 1 {
			t.Errorf("%d refreshes, want one", n)
		}
		if cookies := one.cookies(); len(cookies) != 1 || cookies[0].Value == before {
			t.Fatalf("the cookies are %v, want one with the next refresh token", cookies)
		}
		for _, p := range []*tab{one, two} {
			p.open("/")
			p.see(user.email)
		}

		last := one.cookies()[0].Value
		s.waitForExpiry(t, user)
		two.send("/bff/logout")
		two.see("Register")
		one.open("/")
		one.see("Register")
		if status := s.refreshStatus(t, last); status != 401 {
			t.Errorf("after the logout, the refresh token gets %d", status)
		}
	}, "ACCESS_TOKEN_TTL=20s") // the BFF refreshes a token 2 s before its expiry, which a busy machine may need
}

// TestAPasswordIsResetInTheShop follows the link of a mail, and requires that other sessions have ended.
func TestAPasswordIsResetInTheShop(t *testing.T) {
	inEachShop(t, "", func(t *testing.T, s *shop) {
		user := s.logIn("user")
		elsewhere, p := newPerson(t, s.origin()), newPerson(t, s.origin())
		elsewhere.logInAs(user.email, secret)
		p.open("/forgot-password")
		p.send("/bff/password-reset", "email", user.email)
		p.see("If this address has an account")
		p.open("/reset-password#token=" + s.mailed(t, "user.password_reset_requested", user.email))
		p.send("/bff/password-reset/confirm", "new_password", "password")
		p.see("New password needs at least 15 characters.")
		p.send("/bff/password-reset/confirm", "new_password", newSecret)
		p.see("all sessions have ended")
		elsewhere.open("/")
		elsewhere.see("Register")

		p.open("/login")
		p.send("/bff/login", "email", user.email, "password", secret)
		p.see("wrong")
		p.logInAs(user.email, newSecret)
		elsewhere.logInAs(user.email, newSecret)
		p.open("/account")
		p.see("(confirmed)") // the reset has also confirmed the email
		p.send("/bff/users/me/password", "current_password", newSecret, "new_password", secret)
		p.see("Your password is changed.")
		wantNoTokenInReach(t, p)
		elsewhere.open("/")
		elsewhere.see("Register")
	})
}

// TestTheShopExplainsASecondFactor logs in with the password of an account that has a second factor.
func TestTheShopExplainsASecondFactor(t *testing.T) {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	inEachShop(t, "", func(t *testing.T, s *shop) {
		user := s.logIn("user")
		s.addFactor(user)
		p := newPerson(t, s.origin())
		p.open("/login")
		p.send("/bff/login", "email", user.email, "password", secret)
		p.see("Your account has a second factor.")
	}, "DATA_KEY="+base64.StdEncoding.EncodeToString(key))
}

// addFactor adds an authenticator app to the caller's account.
func (s *service) addFactor(c caller) {
	s.t.Helper()
	var added struct{ ID, Secret string }
	s.post(c, "/users/me/factors", map[string]string{"type": "totp", "name": "Phone", "current_password": secret}, &added)
	code, err := totp.GenerateCode(added.Secret, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	s.post(c, "/users/me/factors/"+added.ID+"/confirm", map[string]string{"code": code}, &added)
}

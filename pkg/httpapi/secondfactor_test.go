package httpapi_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"user-service/pkg/access"
	"user-service/pkg/event"
	"user-service/pkg/postgres"
)

// clean runs the cleanup once.
func (s *server) clean() {
	s.t.Helper()
	cleaner := postgres.Cleaner{
		DB: s.db, AuditRetention: time.Hour, DataKeys: s.dataKeys, Observer: unobservedCleanup{}, Log: slog.New(slog.DiscardHandler),
	}
	if err := cleaner.Clean(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// amr returns the authentication methods in an access token.
func amr(t *testing.T, token string) (methods []string) {
	t.Helper()
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(token, claims); err != nil {
		t.Fatal(err)
	}
	for _, m := range claims["amr"].([]any) {
		methods = append(methods, m.(string))
	}
	return methods
}

// authTime returns the time of the login in an access token.
func authTime(t *testing.T, token string) any {
	t.Helper()
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(token, claims); err != nil {
		t.Fatal(err)
	}
	return claims["auth_time"]
}

func wantAMR(t *testing.T, got answer, want ...string) {
	t.Helper()
	methods := amr(t, decode[tokens](t, got.want(t, 200)).AccessToken)
	if diff := cmp.Diff(want, methods); diff != "" {
		t.Errorf("amr (-want +got):\n%s", diff)
	}
}

// TestALoginNeedsTheSecondFactor logs in with a code and with a recovery code. The methods stay in the session.
func TestALoginNeedsTheSecondFactor(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	wantAMR(t, s.call("POST", "/login", credentialsOf(s, a)), "pwd")
	p := s.enroll(a)
	required := s.call("POST", "/login", credentialsOf(s, a))
	required.wantProblem(t, 403, "second-factor-required")
	if got := decode[factorProblem](t, required).Factors; !cmp.Equal(got, []string{"totp", "recovery_code"}) {
		t.Errorf("the factors are %v, want totp and recovery_code", got)
	}
	logins := len(s.events(event.LoggedIn))
	wantAMR(t, s.secondStep(s.challenge(a), strings.ToUpper(strings.ReplaceAll(p.codes[3], "-", " "))), "pwd", "otp", "mfa")
	got := s.secondStep(s.challenge(a), " "+p.fresh(s)+" ")
	wantAMR(t, got, "pwd", "otp", "mfa")
	if n := len(s.events(event.LoggedIn)); n != logins+2 {
		t.Errorf("%d logins are announced, want %d", n-logins, 2)
	}
	refreshed := s.call("POST", "/refresh", map[string]any{"refresh_token": decode[tokens](t, got).RefreshToken})
	wantAMR(t, refreshed, "pwd", "otp", "mfa")
	changed := s.call("PUT", "/users/me/password", change(goodPassword, newPassword), as(decode[tokens](t, refreshed).AccessToken))
	wantAMR(t, changed, "pwd", "otp", "mfa")
	wantAMR(t, s.call("POST", "/refresh", map[string]any{"refresh_token": decode[tokens](t, changed).RefreshToken}), "pwd", "otp", "mfa")
	list := s.factors(decode[tokens](t, changed).AccessToken)
	if list.Left != 9 || list.Items[0].LastUsedAt == "" {
		t.Errorf("the factors are %+v, want 9 codes left and a time of use", list)
	}
}

// TestACodeWorksOnce uses codes again, and codes of earlier time steps.
func TestACodeWorksOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	p := s.enroll(a)
	code := p.fresh(s)
	s.secondStep(s.challenge(a), code).want(t, 200)
	challenge := s.challenge(a)
	s.secondStep(challenge, code).wantProblem(t, 401, "invalid-code")
	s.secondStep(challenge, s.codeAt(p.secret, time.Now().Add(-time.Minute))).wantProblem(t, 401, "invalid-code")
	s.secondStep(challenge, p.codes[0]).want(t, 200)
	s.secondStep(challenge, p.codes[1]).wantProblem(t, 401, "invalid-challenge")
	s.secondStep(s.challenge(a), p.codes[0]).wantProblem(t, 401, "invalid-code")
	s.secondStep(s.challenge(a), p.codes[1]).want(t, 200)
}

// TestACodeOfTheConfirmationIsUsed checks that the code that confirmed a factor does not work for a login.
func TestACodeOfTheConfirmationIsUsed(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	added := decode[enrollment](t, s.call("POST", "/users/me/factors", newFactorOf(s, a), as(a.token)).want(t, 201))
	code := s.codeOf(a)
	s.confirm(a, added.ID, code).want(t, 200)
	s.secondStep(s.challenge(a), code).wantProblem(t, 401, "invalid-code")
}

// TestNewRecoveryCodesReplaceTheOldOnes replaces the codes.
func TestNewRecoveryCodesReplaceTheOldOnes(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	p := s.enroll(a)
	fresh := decode[confirmed](t, s.call("POST", "/users/me/recovery-codes", reauthenticationOf(s, a), as(a.token)).want(t, 200)).RecoveryCodes
	if len(fresh) != 10 || slices.Contains(fresh, p.codes[0]) {
		t.Errorf("the new codes are %v, want ten others", fresh)
	}
	s.secondStep(s.challenge(a), p.codes[0]).wantProblem(t, 401, "invalid-code")
	s.secondStep(s.challenge(a), fresh[9]).want(t, 200)
}

// TestAChallengeHasFiveTries uses up a challenge, at two replicas. The limit of login failures is higher.
func TestAChallengeHasFiveTries(t *testing.T) {
	t.Parallel()
	s := start(t, func(set *settings) { set.cfg.MaxFailures = 50 })
	other := start(t, func(set *settings) { set.database, set.cfg.MaxFailures = s.dsn, 50 })
	a := s.register()
	p := s.enroll(a)
	challenge := s.challenge(a)
	for _, r := range []*server{s, other, s, other, s} {
		r.secondStep(challenge, "000000").wantProblem(t, 401, "invalid-code")
	}
	other.secondStep(challenge, p.fresh(s)).wantProblem(t, 401, "invalid-challenge")
	s.secondStep("unknown", "000000").wantProblem(t, 401, "invalid-challenge")
	other.secondStep(s.challenge(a), p.fresh(s)).want(t, 200)
}

// TestAChallengeBecomesInvalid makes a challenge invalid in each possible way.
func TestAChallengeBecomesInvalid(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.admin()
	for name, invalidate := range map[string]func(a account){
		"it expires": func(account) { s.execute(`UPDATE login_challenges SET expires_at = now()`) },
		"the password changes": func(a account) {
			s.call("PUT", "/users/me/password", change(a.password, newPassword), as(a.token)).want(t, 200)
		},
		"a reset": func(a account) { s.confirmReset(s.askForReset(a.Email), newPassword).want(t, 204) },
		"the email changes": func(a account) {
			s.call("PATCH", a.path(), map[string]any{"email": "new-" + a.Email}, as(admin.token)).want(t, 200)
		},
		"the account is disabled": func(a account) {
			s.call("PUT", a.path()+"/status", `{"status":"disabled"}`, as(admin.token)).want(t, 200)
		},
		"the account is disabled and enabled": func(a account) {
			for _, status := range []string{"disabled", "active"} {
				s.call("PUT", a.path()+"/status", map[string]any{"status": status}, as(admin.token)).want(t, 200)
			}
		},
		"an administrator ends the sessions": func(a account) {
			s.call("DELETE", a.path()+"/sessions", nil, as(admin.token)).want(t, 204)
		},
		"the user ends the sessions": func(a account) { s.call("DELETE", "/users/me/sessions", nil, as(a.token)).want(t, 204) },
		"the account is erased":      func(a account) { s.call("DELETE", a.path(), nil, as(admin.token)).want(t, 204) },
	} {
		a := s.register()
		p := s.enroll(a)
		challenge := s.challenge(a)
		invalidate(a)
		if got := s.secondStep(challenge, p.fresh(s)); got.status != 401 || !strings.Contains(string(got.body), "invalid-challenge") {
			t.Errorf("after %s, the response is %d %s, want invalid-challenge", name, got.status, got.body)
		}
	}
}

// TestNothingBypassesTheFactor looks for another way to a session, or back to a login without the factor.
func TestNothingBypassesTheFactor(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.admin()
	for name, try := range map[string]func(a *account){
		"a reset": func(a *account) {
			s.confirmReset(s.askForReset(a.Email), newPassword).want(t, 204)
			a.password = newPassword
		},
		"a reset by an administrator": func(a *account) {
			s.call("POST", a.path()+"/password-reset", nil, as(admin.token)).want(t, 202)
			_, issued := lastEvent[tokenIssued](t, s, event.PasswordResetRequested)
			s.confirmReset(issued.Token, newPassword).want(t, 204)
			a.password = newPassword
		},
		"a new email": func(a *account) {
			a.Email = "new-" + a.Email
			s.call("PATCH", a.path(), map[string]any{"email": a.Email}, as(admin.token)).want(t, 200)
		},
		"disabling and enabling": func(a *account) {
			for _, status := range []string{"disabled", "active"} {
				s.call("PUT", a.path()+"/status", map[string]any{"status": status}, as(admin.token)).want(t, 200)
			}
		},
		"the end of all sessions": func(a *account) {
			s.call("DELETE", "/users/me/sessions", nil, as(a.token)).want(t, 204)
		},
		"another pending factor": func(a *account) { s.insertFactor(*a, false) },
	} {
		a := s.register()
		stolen := s.login(a) // a session from before the factor
		p := s.enroll(a)
		try(&a)
		got := s.call("POST", "/login", credentialsOf(s, a))
		if got.status != 403 || !strings.Contains(string(got.body), "second-factor-required") {
			t.Errorf("after %s, the login is %d %s, want second-factor-required", name, got.status, got.body)
		}
		s.call("POST", "/refresh", map[string]any{"refresh_token": stolen.refresh}).wantProblem(t, 401, "invalid-refresh-token")
		s.loginWith(a, p)
	}
}

// TestWrongCodesCountAsLoginFailures checks that wrong codes cause a backoff, which the correct password alone does not clear.
func TestWrongCodesCountAsLoginFailures(t *testing.T) {
	t.Parallel()
	s := startBehindAProxy(t)
	other := startBehindAProxy(t, func(set *settings) { set.database = s.dsn })
	a := s.register()
	p := s.enroll(a)
	login := func(addr string) string {
		got := s.try(addr, a.Email, a.password)
		got.wantProblem(t, 403, "second-factor-required")
		return decode[factorProblem](t, got).Challenge
	}
	for _, r := range []*server{s, other, s, other} { // each with its own correct password
		r.secondStep(login(home), "000000", from(homeToo)).wantProblem(t, 401, "invalid-code")
	}
	challenge := login(home)
	s.guess(home, a.Email).wantProblem(t, 401, "invalid-credentials") // the fifth failure
	s.try(home, a.Email, a.password).wantProblem(t, 429, "too-many-requests")
	other.secondStep(challenge, p.fresh(s), from(home)).wantProblem(t, 429, "too-many-requests")
	other.secondStep(challenge, p.fresh(s), from(travel)).want(t, 200) // the backoff is for one network, and used no try
	s.try(home, a.Email, a.password).wantProblem(t, 429, "too-many-requests")
	s.letTimePass()
	s.secondStep(login(home), p.fresh(s), from(home)).want(t, 200)
	for range 4 { // a success has cleared the count
		s.secondStep(login(home), "000000", from(home)).wantProblem(t, 401, "invalid-code")
	}
}

// TestWrongCodesAreLimitedWithoutABackoff checks the limit of 100 wrong codes, with and without LOGIN_MAX_FAILURES. Neither resets nor
// known networks circumvent it.
func TestWrongCodesAreLimitedWithoutABackoff(t *testing.T) {
	t.Parallel()
	for _, maxFailures := range []int{0, 5} {
		s := start(t, func(set *settings) { set.cfg.MaxFailures = maxFailures })
		a := s.register()
		p := s.enroll(a)
		for i := range 20 {
			challenge := s.challenge(a)
			for range 5 {
				s.secondStep(challenge, "000000").wantProblem(t, 401, "invalid-code")
			}
			switch {
			case i < 19 && i%4 == 0:
				a.password = fmt.Sprint(goodPassword, i)
				s.execute(`DELETE FROM token_mailboxes`)
				s.execute(`DELETE FROM one_time_tokens`)
				s.confirmReset(s.askForReset(a.Email), a.password).want(t, 204)
			case i < 19:
				s.execute(`UPDATE password_failures SET failures = 0, blocked_until = 'epoch' WHERE failures < 100 AND network <> '0.0.0.0/0'`)
			}
		}
		if maxFailures > 0 {
			s.execute(`DELETE FROM password_failures WHERE network <> '0.0.0.0/0'`)
			s.execute(`DELETE FROM login_failures`)
		}
		challenge := s.challenge(a)
		wantShared(t, s.secondStep(challenge, p.fresh(s)))
		s.confirmReset(s.askForReset(a.Email), newPassword).want(t, 204)
		a.password = newPassword
		challenge = s.challenge(a)
		wantShared(t, s.secondStep(challenge, p.fresh(s)))
		s.letTimePass()
		s.secondStep(challenge, p.fresh(s)).want(t, 200)
		s.secondStep(s.challenge(a), "000000").wantProblem(t, 401, "invalid-code")
		s.secondStep(s.challenge(a), p.fresh(s)).want(t, 200)
	}
}

// TestAnUnlockEndsTheBackoffAfterWrongCodes unlocks a user who must back off after 100 wrong codes.
func TestAnUnlockEndsTheBackoffAfterWrongCodes(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	p := s.enroll(a)
	s.secondStep(s.challenge(a), "000000").wantProblem(t, 401, "invalid-code")
	s.execute(`UPDATE password_failures SET failures = 99 WHERE network = '0.0.0.0/0'`)
	challenge := s.challenge(a)
	s.secondStep(challenge, "000000").wantProblem(t, 401, "invalid-code")
	wantShared(t, s.secondStep(challenge, p.fresh(s)))
	if err := s.users.Unlock(t.Context(), access.Internal(a.ID)); err != nil {
		t.Fatal(err)
	}
	s.secondStep(challenge, p.fresh(s)).want(t, 200)
}

// TestOnlyTheCorrectPasswordRevealsTheFactor compares the answers to wrong passwords of users with and without a factor.
func TestOnlyTheCorrectPasswordRevealsTheFactor(t *testing.T) {
	t.Parallel()
	s := start(t, func(set *settings) { set.cfg.MaxFailures = 2 })
	with, without := s.register(), s.register()
	s.enroll(with)
	strip := func(got answer) string {
		p := decode[problem](t, got)
		return fmt.Sprint(got.status, p.Type, p.Title, p.Detail, got.header["Www-Authenticate"], got.header["Ratelimit-Policy"])
	}
	for range 3 { // the last one is refused because of the backoff
		a, b := strip(s.fail(with.Email)), strip(s.fail(without.Email))
		if a != b {
			t.Errorf("the responses differ: %s and %s", a, b)
		}
	}
	s.call("POST", "/login", credentialsOf(s, with)).wantProblem(t, 429, "too-many-requests")
}

// TestTheAuditTrailShowsTheFactorOfALogin reads the entries of logins with an app, a recovery code and a passkey, and of new recovery codes.
func TestTheAuditTrailShowsTheFactorOfALogin(t *testing.T) {
	t.Parallel()
	s := start(t)
	a, admin := s.register(), s.admin()
	d := newDevice(a)
	s.addPasskey(a, d).want(t, 200)
	p := s.enroll(a)
	codes := decode[confirmed](t, s.call("POST", "/users/me/recovery-codes", reauthenticationOf(s, a), as(a.token)).want(t, 200)).RecoveryCodes
	s.secondStep(s.challenge(a), p.fresh(s)).want(t, 200)
	s.secondStep(s.challenge(a), codes[0]).want(t, 200)
	challenge := s.challenge(a)
	s.call("POST", "/login/second-factor", map[string]any{"challenge": challenge, "credential": d.sign(t, challenge)}).want(t, 200)
	s.passkeyAccount(a, d)
	var got []string
	for _, e := range s.audit(admin.token, "action=authn_login_success&user_id="+a.ID.String()) {
		detail, _ := e.Detail["factor"].(string)
		id, _ := e.Detail["factor_id"].(string)
		got = append(got, detail+" "+id)
	}
	want := []string{
		"passkey " + d.id.String(), "passkey " + d.id.String(), "recovery_code ", "totp " + p.id.String(), " ",
	}
	if diff := cmp.Diff(want, got[:min(len(want), len(got))]); diff != "" {
		t.Errorf("the factors of the logins (-want +got):\n%s", diff)
	}
	changes := s.audit(admin.token, "action=user_updated&limit=1&user_id="+a.ID.String())
	if len(changes) != 1 || changes[0].what() != `user_updated {"changed":["recovery_codes"]}` {
		t.Errorf("the last change is %+v, want that of the recovery codes", changes)
	}
}

// TestTheAuditTrailShowsTheSecondStep reads the entries of a login with a wrong code and a correct one.
func TestTheAuditTrailShowsTheSecondStep(t *testing.T) {
	t.Parallel()
	s := start(t)
	a, admin := s.register(), s.admin()
	p := s.enroll(a)
	challenge := s.challenge(a)
	s.secondStep(challenge, "000000").want(t, 401)
	s.secondStep(challenge, p.codes[0]).want(t, 200)
	s.secondStep(challenge, p.codes[0]).want(t, 401)
	var got []string
	for _, e := range s.audit(admin.token, "limit=10") {
		what, _, _ := strings.Cut(e.what(), `,"session_id"`)
		got = append(got, what)
	}
	want := []string{
		`authn_token_fail {"purpose":"second_factor"}`, `authn_login_success {"amr":["pwd","otp","mfa"],"factor":"recovery_code"`,
		`authn_login_fail {"purpose":"second_factor"}`, `authn_token_created {"purpose":"second_factor"}`,
	}
	if diff := cmp.Diff(want, got[:4]); diff != "" {
		t.Errorf("the entries (-want +got):\n%s", diff)
	}
	s.call("DELETE", "/users/me", nil, as(a.token)).want(t, 204)
	s.wantNoSecrets(append(p.codes, challenge, "Phone")...)
}

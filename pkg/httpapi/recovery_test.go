package httpapi_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"user-service/pkg/event"
	"user-service/pkg/user"
)

// askForReset requests a reset and returns the token from its event.
func (s *server) askForReset(email string) string {
	s.t.Helper()
	s.call("POST", "/password-reset", map[string]any{"email": email}).want(s.t, 202)
	_, issued := lastEvent[tokenIssued](s.t, s, event.PasswordResetRequested)
	return issued.Token
}

func (s *server) confirmReset(token, pw string) answer {
	s.t.Helper()
	return s.call("POST", "/password-reset/confirm", map[string]any{"token": token, "new_password": pw})
}

func TestAForgottenPassword(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	s.call("POST", "/password-reset", map[string]any{"email": strings.ToUpper(a.Email)}).want(t, 202)
	e, issued := lastEvent[tokenIssued](t, s, event.PasswordResetRequested)
	if wait := time.Until(issued.ExpiresAt); e.Subject != a.ID || e.UserVersion != 1 || wait < 59*time.Minute || wait > time.Hour {
		t.Errorf("the event is %+v and expires in %s, want one about the user that expires in an hour", e, wait)
	}
	if diff := cmp.Diff(a.User, issued.User); diff != "" {
		t.Errorf("the user in the event (-want +got):\n%s", diff)
	}
	if n := s.execute(`DELETE FROM one_time_tokens WHERE token_hash = convert_to($1, 'UTF8')`, issued.Token); n != 0 {
		t.Error("the token is stored in plain text, want only its hash")
	}
	for range 5 {
		s.fail(a.Email).want(t, 401)
	}

	s.confirmReset(issued.Token, newPassword).want(t, 204)
	s.isOut(a)
	s.confirmReset(issued.Token, goodPassword).wantProblem(t, 400, "invalid-token")
	s.call("POST", "/login", map[string]any{"email": a.Email, "password": a.password}).wantProblem(t, 401, "invalid-credentials")
	a.password = newPassword
	s.login(a) // the reset has also ended the backoff
	if n := len(s.events(event.PasswordChanged)); n != 1 {
		t.Errorf("%d events of one password change, want 1", n)
	}
	if u := s.current(a); u.Version != 2 || !u.EmailVerified {
		t.Errorf("version is %d and the email is verified: %t, want 2 and true", u.Version, u.EmailVerified)
	}
}

func TestAResetDoesNotRevealTheAccount(t *testing.T) {
	t.Parallel()
	s := start(t)
	a, disabled := s.register(), s.register()
	s.call("PUT", disabled.path()+"/status", `{"status":"disabled"}`, as(s.admin().token)).want(t, 200)
	for _, email := range []string{a.Email, disabled.Email, "nobody@example.com"} {
		started := time.Now()
		got := s.call("POST", "/password-reset", map[string]any{"email": email}).want(t, 202)
		if took := time.Since(started); len(got.body) != 0 || took < 100*time.Millisecond {
			t.Errorf("the body is %q after %s, want none after at least 100 ms", got.body, took)
		}
	}
	for _, e := range s.events(event.PasswordResetRequested) {
		if e.Subject != a.ID {
			t.Errorf("user %s has a token, want one only for the active account", e.Subject)
		}
	}
	s.call("POST", "/password-reset", `{}`).wantProblem(t, 422, "validation-failed")
	s.call("POST", "/password-reset", `{"email":"nobody"}`).wantProblem(t, 422, "validation-failed")
}

func TestAResetTokenWorksOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	token := s.askForReset(a.Email)
	var statuses [600]atomic.Int32
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			pw := fmt.Sprint(newPassword, i)
			statuses[patiently(func() answer { return s.confirmReset(token, pw) }).status].Add(1)
		})
	}
	wg.Wait()
	if done, refused := statuses[204].Load(), statuses[400].Load(); done > 1 || done+refused != 20 {
		t.Errorf("%d resets succeed and %d are refused, want 1 and 19", done, refused)
	}
	if n := len(s.events(event.PasswordChanged)); n != 1 {
		t.Errorf("%d password changes with one token, want 1", n)
	}
}

func TestARefusedPasswordDoesNotUseTheToken(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	s.call("PATCH", "/users/me", `{"name":"Augusta Ada Countess of Lovelace"}`, as(a.token)).want(t, 200)
	token := s.askForReset(a.Email)
	for _, pw := range []string{"short", a.Email, "Augusta Ada Countess of Lovelace"} {
		p := s.confirmReset(token, pw).wantProblem(t, 422, "validation-failed")
		if !containsPointer(p.Errors, "/new_password") || len(p.Errors) != 1 {
			t.Errorf("%q: errors are %+v, want one for /new_password", pw, p.Errors)
		}
	}
	s.call("POST", "/password-reset/confirm", `{}`).wantProblem(t, 422, "validation-failed")
	s.confirmReset(token, newPassword).want(t, 204)
}

func TestAnInvalidTokenIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	a, admin := s.register(), s.admin()
	for _, token := range []string{"x", "ünï", s.askForReset(a.Email) + "A", a.token, a.refresh} {
		s.confirmReset(token, newPassword).wantProblem(t, 400, "invalid-token")
		s.call("POST", "/email-verification/confirm", map[string]any{"token": token}).wantProblem(t, 400, "invalid-token")
	}
	// A token is valid only for its own purpose.
	s.call("POST", "/email-verification/confirm", map[string]any{"token": s.askForReset(a.Email)}).wantProblem(t, 400, "invalid-token")

	old := s.askForReset(a.Email)
	s.execute(`UPDATE one_time_tokens SET expires_at = now()`)
	s.confirmReset(old, newPassword).wantProblem(t, 400, "invalid-token")

	before := s.askForReset(a.Email)
	s.call("PATCH", a.path(), `{"email":"other@example.com"}`, as(admin.token)).want(t, 200)
	s.confirmReset(before, newPassword).wantProblem(t, 400, "invalid-token")
}

func TestMailsToAMailboxAreLimited(t *testing.T) {
	t.Parallel()
	s := start(t)
	a, admin := s.register(), s.admin()
	ask := func() {
		s.call("POST", "/password-reset", map[string]any{"email": a.Email}).want(t, 202)
		s.call("POST", a.path()+"/password-reset", nil, as(admin.token)).want(t, 202)
		s.call("POST", "/email-verification", nil, as(a.token)).want(t, 202)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(ask)
	}
	wg.Wait()
	for _, typ := range []event.Type{event.PasswordResetRequested, event.EmailVerificationRequested} {
		if n := len(s.events(typ)); n != 5 {
			t.Errorf("%d events %s, want 5", n, typ)
		}
	}
	s.execute(`UPDATE one_time_tokens SET created_at = created_at - interval '10 minutes'`)
	s.execute(`UPDATE token_mailboxes SET sent_at = sent_at - interval '10 minutes'`)
	ask()
	if n := len(s.events(event.PasswordResetRequested)); n != 7 {
		t.Errorf("%d reset events after 10 minutes, want 7", n)
	}
}

func TestAnAdminStartsAReset(t *testing.T) {
	t.Parallel()
	s := start(t)
	a, admin := s.register(), s.admin()
	got := s.call("POST", a.path()+"/password-reset", nil, as(admin.token)).want(t, 202)
	_, issued := lastEvent[tokenIssued](t, s, event.PasswordResetRequested)
	if len(got.body) != 0 || issued.User.ID != a.ID {
		t.Errorf("the body is %q and the event %+v, want no body and an event of the user", got.body, issued)
	}
	s.call("GET", "/users/me", nil, as(a.token)).want(t, 200) // the session is valid until the confirmation
	s.confirmReset(issued.Token, newPassword).want(t, 204)
	s.isOut(a)
	s.call("POST", "/users/"+uuid.Must(uuid.NewV7()).String()+"/password-reset", nil, as(admin.token)).wantProblem(t, 404, "not-found")
	s.call("POST", "/users/me/password-reset", nil, as(admin.token)).want(t, 202)
}

func TestAnEmailIsVerified(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	s.call("POST", "/email-verification", nil, as(a.token)).want(t, 202)
	e, issued := lastEvent[tokenIssued](t, s, event.EmailVerificationRequested)
	if wait := time.Until(issued.ExpiresAt); e.Subject != a.ID || e.UserVersion != 1 || wait < 23*time.Hour || wait > 24*time.Hour {
		t.Errorf("the event is %+v and expires in %s, want one about the user that expires in a day", e, wait)
	}
	confirm := map[string]any{"token": issued.Token}
	s.confirmReset(issued.Token, newPassword).wantProblem(t, 400, "invalid-token")
	s.call("POST", "/email-verification/confirm", confirm).want(t, 204)
	s.call("POST", "/email-verification/confirm", confirm).wantProblem(t, 400, "invalid-token")

	u := decode[user.User](t, s.call("GET", "/users/me", nil, as(a.token)).want(t, 200)) // the session has not ended
	e, change := lastEvent[updated](t, s, event.UserUpdated)
	want := updated{User: u, Changed: []string{"email_verified"}, Previous: map[string]any{"email_verified": false}}
	if diff := cmp.Diff(want, change); diff != "" {
		t.Errorf("the data of the event (-want +got):\n%s", diff)
	}
	if !u.EmailVerified || u.Version != 2 || e.UserVersion != 2 {
		t.Errorf("the user is %+v and the version of the event %d, want a verified email and version 2", u, e.UserVersion)
	}
	s.call("POST", "/email-verification", nil, as(a.token)).want(t, 202)
	if n := len(s.events(event.EmailVerificationRequested)); n != 1 {
		t.Errorf("%d verification events, want only the first: the email is verified", n)
	}
}

func TestAVerificationIsOfOneEmail(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	s.call("POST", "/email-verification", nil, as(a.token)).want(t, 202)
	_, issued := lastEvent[tokenIssued](t, s, event.EmailVerificationRequested)
	for _, email := range []string{"other@example.com", a.Email, strings.ToUpper(a.Email)} { // to another email, back, and to another case
		s.call("PATCH", "/users/me", map[string]any{"email": email, "current_password": a.password}, as(a.token)).want(t, 200)
		s.call("POST", "/email-verification/confirm", map[string]any{"token": issued.Token}).wantProblem(t, 400, "invalid-token")
	}
	s.call("POST", "/email-verification", nil, as(a.token)).want(t, 202)
	_, issued = lastEvent[tokenIssued](t, s, event.EmailVerificationRequested)
	s.call("PATCH", "/users/me", map[string]any{"email": a.Email, "current_password": a.password}, as(a.token)).want(t, 200)
	s.call("POST", "/email-verification/confirm", map[string]any{"token": issued.Token}).wantProblem(t, 400, "invalid-token")
	s.call("POST", "/email-verification/confirm", `{}`).wantProblem(t, 422, "validation-failed")
	if u := s.current(a); u.EmailVerified {
		t.Error("the email is verified with the token of another email, want it unverified")
	}
}

// TestARegistrationSendsAVerification checks that the transaction of the registration also stores the verification event, after the event
// of the new user.
func TestARegistrationSendsAVerification(t *testing.T) {
	t.Parallel()
	s := start(t, func(set *settings) { set.cfg.VerifyAtRegistration = true })
	a := s.register()
	created := s.events(event.UserCreated)
	e, issued := lastEvent[tokenIssued](t, s, event.EmailVerificationRequested)
	if len(created) != 1 || e.Subject != a.ID || e.UserVersion != 1 || e.ID.String() < created[0].ID.String() {
		t.Errorf("the verification event is %+v, want one about the user after the one created event in %+v", e, created)
	}
	if wait := time.Until(issued.ExpiresAt); wait < 23*time.Hour || wait > 24*time.Hour {
		t.Errorf("the token is valid for %s, want a day", wait)
	}
	if diff := cmp.Diff(a.User, issued.User); diff != "" {
		t.Errorf("the user in the event (-want +got):\n%s", diff)
	}
	s.call("POST", "/email-verification/confirm", map[string]any{"token": issued.Token}).want(t, 204)
	if u := s.current(a); !u.EmailVerified {
		t.Errorf("the user is %+v, want a verified email", u)
	}

	// Repeated registrations and erasures with one email do not exceed the limit of its mailbox.
	for range 8 {
		b := s.registerAs("victim@example.com")
		s.call("DELETE", "/users/me", nil, as(b.token)).want(t, 204)
	}
	if n := s.execute(`DELETE FROM token_mailboxes WHERE purpose = 'email_verification'`); n != 6 {
		t.Errorf("%d tokens were sent, want 6: one to the first email and five to the second", n)
	}
}

// TestANewEmailGetsAVerification checks that a change of the email by the user or by an administrator sends a verification immediately.
func TestANewEmailGetsAVerification(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.admin()
	for name, change := range map[string]func(account, string) answer{
		"self": func(a account, email string) answer {
			return s.call("PATCH", "/users/me", map[string]any{"email": email, "current_password": a.password}, as(a.token))
		},
		"admin": func(a account, email string) answer {
			return s.call("PUT", a.path(), map[string]any{"email": email}, as(admin.token))
		},
	} {
		a := s.register()
		email := name + "@example.org"
		changed := decode[user.User](t, change(a, email).want(t, 200))
		e, issued := lastEvent[tokenIssued](t, s, event.EmailVerificationRequested)
		if e.Subject != a.ID || e.UserVersion != 2 || issued.User.Email != email || changed.EmailVerified {
			t.Errorf("%s: the event is %+v with %+v, want one for the unverified new email", name, e, issued)
		}
		s.call("POST", "/email-verification/confirm", map[string]any{"token": issued.Token}).want(t, 204)
		if u := decode[user.User](t, s.call("GET", a.path(), nil, as(admin.token))); !u.EmailVerified || u.Email != email {
			t.Errorf("%s: the user is %+v, want the verified email %s", name, u, email)
		}
		if n := len(s.events(event.EmailVerificationRequested)); n != 1 {
			t.Errorf("%s: %d verification events, want 1", name, n)
		}
		s.execute(`DELETE FROM outbox`)
	}
}

// TestAResetVerifiesItsMailbox checks that the first reset verifies the email. The event user.updated must come before the event
// user.password_changed.
func TestAResetVerifiesItsMailbox(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	s.confirmReset(s.askForReset(a.Email), newPassword).want(t, 204)
	e, change := lastEvent[updated](t, s, event.UserUpdated)
	if diff := cmp.Diff([]string{"email_verified"}, change.Changed); diff != "" || e.UserVersion != 2 || !change.User.EmailVerified {
		t.Errorf("the event is %+v with %+v, want only email_verified changed in version 2", e, change)
	}
	passwords := s.events(event.PasswordChanged)
	if len(passwords) != 1 || passwords[0].UserVersion != 2 || passwords[0].ID.String() < e.ID.String() {
		t.Errorf("the password events are %+v, want one after %+v", passwords, e)
	}
	a.password = newPassword
	a = s.login(a)
	s.confirmReset(s.askForReset(a.Email), goodPassword).want(t, 204)
	if n := len(s.events(event.UserUpdated)); n != 1 {
		t.Errorf("%d user.updated events, want only the one from the first reset", n)
	}
}

// TestADisabledUsersTokensAreRefused disables a user who has a reset token and a verification token. Both tokens are refused. After the
// user is enabled again, the verification token is valid and the reset token is not.
func TestADisabledUsersTokensAreRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin, a := s.admin(), s.register()
	reset := s.askForReset(a.Email)
	s.call("POST", "/email-verification", nil, as(a.token)).want(t, 202)
	_, verification := lastEvent[tokenIssued](t, s, event.EmailVerificationRequested)
	s.call("PUT", "/users/"+a.ID.String()+"/status", map[string]any{"status": "disabled"}, as(admin.token)).want(t, 200)

	verify := map[string]any{"token": verification.Token}
	s.call("POST", "/email-verification/confirm", verify).wantProblem(t, 400, "invalid-token")
	s.confirmReset(reset, newPassword).wantProblem(t, 400, "invalid-token")

	s.call("PUT", "/users/"+a.ID.String()+"/status", map[string]any{"status": "active"}, as(admin.token)).want(t, 200)
	s.confirmReset(reset, newPassword).wantProblem(t, 400, "invalid-token")
	s.call("POST", "/email-verification/confirm", verify).want(t, 204)
	s.login(a)
}

package user

import (
	"context"
	"crypto/rand"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/access"
	"user-service/pkg/event"
)

const (
	goodPassword = "seven green kettles sing"
	newPassword  = "nine blue lanterns hum"
)

func rand32() string { return rand.Text() + rand.Text() }

// registered returns a service with one account.
func registered(t *testing.T) (*memory, *Service, User) {
	t.Helper()
	m, s := newMemory(t)
	u, err := s.Register(t.Context(), Registration{Email: "ada@example.com", Password: goodPassword})
	if err != nil {
		t.Fatal(err)
	}
	return m, s, u
}

// from returns the context of a request from a network.
func from(t *testing.T) context.Context {
	t.Helper()
	return WithOrigin(t.Context(), Origin{IP: netip.MustParseAddr("192.0.2.1"), UserAgent: "test"})
}

func TestRegister(t *testing.T) {
	t.Parallel()
	m, s, u := registered(t)
	if !slices.Equal(m.announced, []event.Type{event.UserCreated, event.EmailVerificationRequested}) || u.Version != 1 || u.EmailVerified {
		t.Errorf("a registration stores %+v with the events %v, want version 1 and a request for a verification", u, m.announced)
	}
	for name, c := range map[string]struct {
		r    Registration
		code Code
	}{
		"a taken email":   {Registration{Email: "ADA@example.com", Password: goodPassword}, EmailTaken},
		"no email":        {Registration{Password: goodPassword}, Invalid},
		"no password":     {Registration{Email: "b@example.com"}, Invalid},
		"a weak password": {Registration{Email: "b@example.com", Password: "short"}, Invalid},
	} {
		if _, err := s.Register(t.Context(), c.r); codeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	if !slices.Contains(m.audit, UserCreateFailed) {
		t.Errorf("the audit trail is %v, want %s for the taken email", m.audit, UserCreateFailed)
	}
	_, err := s.Create(t.Context(), access.Internal(uuid.Nil), Registration{Email: "c@example.com", Password: goodPassword}, "user", "boss")
	if codeOf(err) != Invalid {
		t.Errorf("an unknown role: %v, want %s", err, Invalid)
	}
	s.cfg.RegistrationEnabled = false
	if _, err := s.Register(t.Context(), Registration{}); codeOf(err) != RegistrationDisabled {
		t.Errorf("with registration disabled: %v, want %s", err, RegistrationDisabled)
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	m, s, u := registered(t)
	ctx := from(t)
	for name, c := range map[string]struct {
		login Login
		code  Code
	}{
		"the password":      {Login{"Ada@Example.com", goodPassword}, ""},
		"a wrong password":  {Login{"ada@example.com", newPassword}, InvalidCredentials},
		"an unknown email":  {Login{"nobody@example.com", goodPassword}, InvalidCredentials},
		"no email":          {Login{"", goodPassword}, Invalid},
		"no password":       {Login{"ada@example.com", ""}, Invalid},
		"too long to check": {Login{"ada@example.com", string(make([]byte, 600))}, Invalid},
	} {
		if _, err := s.Login(ctx, c.login); codeOf(err) != c.code {
			t.Errorf("%s: %v, want %q", name, err, c.code)
		}
	}
	u.Status = Disabled
	m.users[u.ID] = u
	if _, err := s.Login(ctx, Login{"ada@example.com", goodPassword}); codeOf(err) != InvalidCredentials {
		t.Errorf("a disabled account: %v, want %s", err, InvalidCredentials)
	}
	u.Status = Active
	m.users[u.ID] = u
	for range 5 {
		_, _ = s.Login(ctx, Login{"ada@example.com", newPassword})
	}
	if _, err := s.Login(ctx, Login{"ada@example.com", goodPassword}); codeOf(err) != TooManyRequests {
		t.Errorf("during a backoff: %v, want %s", err, TooManyRequests)
	}
	m.now = m.now.Add(longestWait + time.Second)
	if _, err := s.Login(ctx, Login{"ada@example.com", goodPassword}); err != nil {
		t.Errorf("after the backoff: %v, want success", err)
	}
	m.hashes[u.ID] = "an unknown format"
	if _, err := s.Login(ctx, Login{"ada@example.com", goodPassword}); codeOf(err) != InvalidCredentials {
		t.Errorf("a hash of an unknown format: %v, want %s", err, InvalidCredentials)
	}
}

func TestRefreshAndLogout(t *testing.T) {
	t.Parallel()
	m, s, u := registered(t)
	ctx := from(t)
	first, err := s.Login(ctx, Login{"ada@example.com", goodPassword})
	if err != nil {
		t.Fatal(err)
	}
	claims, err := s.VerifyAccess(first.Access)
	if err != nil || claims.UserID != u.ID {
		t.Fatalf("the claims are %+v (%v), want those of user %s", claims, err, u.ID)
	}
	second, err := s.Refresh(ctx, first.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.Refresh(ctx, first.Refresh); err != nil || again.Refresh != second.Refresh {
		t.Errorf("a used token within the grace: %v, same successor %t, want success and true", err, again.Refresh == second.Refresh)
	}
	if caller, err := s.Identify(ctx, claims); err != nil || caller.UserID != u.ID {
		t.Errorf("the caller is %+v (%v), want user %s", caller, err, u.ID)
	}
	session, issued := s.SessionOf(second.Refresh)
	if owner, active, err := s.OwnerOf(ctx, session); owner != u.ID || !active || !issued || err != nil {
		t.Errorf("the session belongs to %s, active %t (%v), want %s and true", owner, active, err, u.ID)
	}
	m.now = m.now.Add(time.Minute)
	if _, err := s.Refresh(ctx, first.Refresh); codeOf(err) != InvalidRefreshToken || len(m.sessions) != 0 {
		t.Errorf("a used token after the grace: %v and %d sessions, want %s and none", err, len(m.sessions), InvalidRefreshToken)
	}
	if _, err := s.Refresh(ctx, second.Refresh); codeOf(err) != InvalidRefreshToken || !slices.Contains(m.audit, SessionUsedAfterEnd) {
		t.Errorf("a token of an ended session: %v, want %s and an audit entry", err, InvalidRefreshToken)
	}
	if _, err := s.Identify(ctx, claims); codeOf(err) != InvalidAccessToken {
		t.Errorf("the caller of an ended session: %v, want %s", err, InvalidAccessToken)
	}
	if _, active, err := s.OwnerOf(ctx, session); active || err != nil {
		t.Errorf("an ended session: active %t (%v), want false", active, err)
	}
	for _, bad := range []string{"x", "x.y", first.Access} {
		if _, err := s.Refresh(ctx, bad); codeOf(err) != InvalidRefreshToken {
			t.Errorf("a refresh with %q: %v, want %s", bad, err, InvalidRefreshToken)
		}
		if err := s.LogoutByRefreshToken(ctx, bad); codeOf(err) != InvalidRefreshToken {
			t.Errorf("a logout with %q: %v, want %s", bad, err, InvalidRefreshToken)
		}
	}
	if err := s.LogoutByRefreshToken(ctx, second.Refresh); err != nil {
		t.Errorf("a logout after the end of the session: %v, want success", err)
	}
	third, err := s.Login(ctx, Login{"ada@example.com", goodPassword})
	if err != nil {
		t.Fatal(err)
	}
	m.now = m.now.Add(idle + time.Second)
	if _, err := s.Refresh(ctx, third.Refresh); codeOf(err) != InvalidRefreshToken || len(m.sessions) != 0 {
		t.Errorf("a refresh of an expired session: %v and %d sessions, want %s and none", err, len(m.sessions), InvalidRefreshToken)
	}
}

func TestChangePassword(t *testing.T) {
	t.Parallel()
	m, s, u := registered(t)
	ctx := from(t)
	tokens, err := s.Login(ctx, Login{"ada@example.com", goodPassword})
	if err != nil {
		t.Fatal(err)
	}
	claims, _ := s.VerifyAccess(tokens.Access)
	caller, err := s.Identify(ctx, claims)
	if err != nil {
		t.Fatal(err)
	}
	grant := access.Internal(u.ID)
	for name, c := range map[string]struct {
		change NewPassword
		code   Code
	}{
		"no current password":      {NewPassword{"", newPassword}, Invalid},
		"no new password":          {NewPassword{goodPassword, ""}, Invalid},
		"a weak password":          {NewPassword{goodPassword, "password"}, Invalid},
		"a wrong current password": {NewPassword{newPassword, newPassword}, ReauthenticationRequired},
		"the user's own email":     {NewPassword{goodPassword, "ada@example.com"}, Invalid},
	} {
		if _, err := s.ChangePassword(ctx, caller, grant, c.change); codeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	if _, err := s.ChangePassword(ctx, caller, grant, NewPassword{goodPassword, newPassword}); err != nil {
		t.Fatal(err)
	}
	if len(m.sessions) != 1 {
		t.Errorf("there are %d sessions, want only the new one", len(m.sessions))
	}
	if _, err := s.Login(ctx, Login{"ada@example.com", goodPassword}); codeOf(err) != InvalidCredentials {
		t.Errorf("a login with the old password: %v, want %s", err, InvalidCredentials)
	}
	if _, err := s.Login(ctx, Login{"ada@example.com", newPassword}); err != nil {
		t.Errorf("a login with the new password: %v, want success", err)
	}
	admin := access.Caller{UserID: uuid.New(), Permissions: []access.Permission{access.UsersWrite}}
	byAdmin := access.SelfOr(access.UsersWrite).Grant(admin, u.ID)
	_, err = s.Update(ctx, Identity{Caller: admin}, byAdmin, Replacement{Email: "new@example.com"}, nil)
	if err != nil || m.users[u.ID].Email != "new@example.com" || len(m.sessions) != 0 {
		t.Errorf("an administrator's change of the email: %v, email %q and %d sessions, want new@example.com and none",
			err, m.users[u.ID].Email, len(m.sessions))
	}
}

func TestConfirmReset(t *testing.T) {
	t.Parallel()
	m, s, u := registered(t)
	ctx := from(t)
	token := "0123456789012345678901234567890123456789012"
	m.tokens[hashToken(token)] = u.ID
	for name, c := range map[string]struct {
		reset Reset
		code  Code
	}{
		"no token":         {Reset{"", newPassword}, Invalid},
		"no password":      {Reset{token, ""}, Invalid},
		"an unknown token": {Reset{"x", newPassword}, InvalidToken},
		"the user's email": {Reset{token, "ada@example.com"}, Invalid},
	} {
		if err := s.ConfirmReset(ctx, c.reset); codeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	if valid, err := s.IsReset(ctx, token); !valid || err != nil {
		t.Errorf("the token is valid: %t (%v), want true", valid, err)
	}
	if err := s.ConfirmReset(ctx, Reset{token, newPassword}); err != nil || !m.users[u.ID].EmailVerified {
		t.Errorf("a reset: %v, verified %t, want success and true", err, m.users[u.ID].EmailVerified)
	}
	if err := s.ConfirmReset(ctx, Reset{token, newPassword}); codeOf(err) != InvalidToken {
		t.Errorf("a reset with a used token: %v, want %s", err, InvalidToken)
	}
	if valid, err := s.IsReset(ctx, token); valid || err != nil {
		t.Errorf("the used token is valid: %t (%v), want false", valid, err)
	}
	if _, err := s.Login(ctx, Login{"ada@example.com", newPassword}); err != nil {
		t.Errorf("a login with the new password: %v, want success", err)
	}
}

func TestRequestsForTokens(t *testing.T) {
	t.Parallel()
	m, s, u := registered(t)
	m.announced = nil
	for _, email := range []string{"ada@example.com", "nobody@example.com"} {
		if err := s.RequestReset(from(t), email); err != nil {
			t.Errorf("a request for a reset of %s: %v, want success", email, err)
		}
	}
	if err := s.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.RequestVerification(t.Context(), access.Internal(u.ID)); err != nil {
		t.Error(err)
	}
	if !slices.Equal(m.announced, []event.Type{event.PasswordResetRequested, event.EmailVerificationRequested}) {
		t.Errorf("the events are %v, want a request for a reset and one for a verification", m.announced)
	}
	if err := s.RequestReset(from(t), "not an email"); codeOf(err) != Invalid {
		t.Errorf("a request with an invalid email: %v, want %s", err, Invalid)
	}
}

func TestReplay(t *testing.T) {
	t.Parallel()
	m, s, u := registered(t)
	m.announced = nil
	var reports int
	progress, err := s.Replay(t.Context(), Replay{Rate: 1_000_000, Progress: func(ReplayProgress) { reports++ }})
	if err != nil || progress.Announced != 1 || progress.Last != u.ID || reports == 0 ||
		!slices.Equal(m.announced, []event.Type{event.Snapshot}) {
		t.Errorf("a replay: %+v (%v) after %d reports with the events %v, want one snapshot", progress, err, reports, m.announced)
	}
	if progress, err := s.Replay(t.Context(), Replay{User: u.ID}); err != nil || progress.Announced != 1 {
		t.Errorf("a replay of one user: %+v (%v), want one snapshot", progress, err)
	}
	if _, err := s.Replay(t.Context(), Replay{User: uuid.New()}); codeOf(err) != NotFound {
		t.Errorf("a replay of an unknown user: %v, want %s", err, NotFound)
	}
}

func TestImport(t *testing.T) {
	t.Parallel()
	m, s := newMemory(t)
	importer, err := s.NewImporter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const hash = "$2b$04$w7c192cmA5L5qaA9XvbnFeBUMfGJw5Is5X0yWLQ0u5haxEk1fHM52"
	good := Import{
		ID: uuid.New(), Email: " ada@example.com ", PasswordHash: hash, Roles: []string{"admin", "user"},
		Status: Disabled, CreatedAt: login,
	}
	for name, a := range map[string]Import{
		"no email":        {PasswordHash: hash},
		"an unknown hash": {Email: "a@example.com", PasswordHash: "md5"},
		"an unknown role": {Email: "a@example.com", PasswordHash: hash, Roles: []string{"boss"}},
		"a wrong status":  {Email: "a@example.com", PasswordHash: hash, Status: "asleep"},
		"in the future":   {Email: "a@example.com", PasswordHash: hash, CreatedAt: time.Now().Add(time.Hour)},
	} {
		if _, _, err := importer.Import(t.Context(), []Import{a}, false); codeOf(err) != Invalid {
			t.Errorf("%s: %v, want %s", name, err, Invalid)
		}
	}
	without := Import{ID: uuid.New(), Email: "without@example.com"}
	if created, _, err := importer.Import(t.Context(), []Import{without}, false); created != 1 || m.hashes[without.ID] != "" || err != nil {
		t.Errorf("an import without a hash: %d created with the hash %q (%v), want 1 without one", created, m.hashes[without.ID], err)
	}
	m.users = map[uuid.UUID]User{}
	if created, _, err := importer.Import(t.Context(), []Import{good}, true); created != 1 || len(m.users) != 0 || err != nil {
		t.Errorf("a dry run: %d created and %d stored (%v), want 1 and 0", created, len(m.users), err)
	}
	if created, _, err := importer.Import(t.Context(), []Import{good}, false); created != 1 || err != nil {
		t.Errorf("%d accounts are created (%v), want 1", created, err)
	}
	if u := m.users[good.ID]; u.Email != "ada@example.com" || u.Status != Disabled || !u.CreatedAt.Equal(login) {
		t.Errorf("the account is %+v, want that of %+v", u, good)
	}
	if _, taken, err := importer.Import(t.Context(), []Import{good}, false); len(taken) != 1 || err != nil {
		t.Errorf("an import of an existing id: taken %v (%v), want one", taken, err)
	}
}

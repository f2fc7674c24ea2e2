package user

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/access"
	"user-service/pkg/event"
)

// deciding is a service without a store, for tests of decisions.
var deciding = &Service{
	cfg: Config{MaxFailures: 5, RefreshIdleTTL: idle, RefreshTTL: absolute},
	now: func() time.Time { return login },
}

// answers is a Tx with fixed results.
type answers struct {
	otherAdmin bool
	roles      []access.Role
	passwordAt time.Time
	noPassword bool
	fresh      int
	factors    Factors
}

func (a answers) AnotherActiveAdmin(context.Context, uuid.UUID) (bool, error) {
	return a.otherAdmin, nil
}

func (a answers) Roles(context.Context, []string) ([]access.Role, error) { return a.roles, nil }

func (a answers) HasPassword(context.Context, uuid.UUID) (bool, error) { return !a.noPassword, nil }

func (a answers) PasswordAt(context.Context, uuid.UUID) (time.Time, error) { return a.passwordAt, nil }

func (a answers) Factors(context.Context, uuid.UUID) (Factors, error) { return a.factors, nil }

func (a answers) FreshTokens(context.Context, User, Purpose) (int, time.Time, error) {
	return a.fresh, login, nil
}

func person(roles ...string) User {
	return User{
		ID: uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057"), Email: "ada@example.com", EmailVerified: true,
		Profile: Profile{Name: "Ada"}, Roles: roles, Status: Active, Version: 3,
	}
}

// codeOf returns the code of an error, or an empty code if the error is not an Error.
func codeOf(err error) Code {
	var e *Error
	errors.As(err, &e)
	if e == nil {
		return ""
	}
	return e.Code
}

// summary describes a change in one line.
func summary(change Change) string {
	var parts []string
	if change.User != nil {
		parts = append(parts, "user")
	}
	if change.Delete {
		parts = append(parts, "delete")
	}
	if change.PasswordHash != "" {
		parts = append(parts, "hash")
	}
	if change.EndSessions {
		parts = append(parts, "sessions")
	}
	if change.NewSession != nil {
		parts = append(parts, "new session")
	}
	if change.Token != nil {
		parts = append(parts, "token")
	}
	if change.InvalidateTokens {
		parts = append(parts, "no tokens")
	}
	if change.ClearFailures {
		parts = append(parts, "no failures")
	}
	for _, e := range change.Events {
		parts = append(parts, string(e.Type))
	}
	for _, entry := range change.Audit {
		parts = append(parts, string(entry.Action))
	}
	return strings.Join(parts, ", ")
}

// never is a Precondition that never holds.
func never(int64) bool { return false }

func TestDecideUpdate(t *testing.T) {
	t.Parallel()
	const emailChanged = "user, token, user.updated, user.email_verification_requested, user_updated, authn_token_created"
	same, named := Replacement{Email: "ada@example.com", Profile: person().Profile}, Replacement{Email: "ada@example.com"}
	moved := Replacement{Email: "new@example.com", Profile: person().Profile}
	verified := passwordTime(login)
	for name, c := range map[string]struct {
		update update
		tx     answers
		want   string
		code   Code
	}{
		"nothing changes":          {update{edit: same, self: true}, answers{}, "", ""},
		"a name":                   {update{edit: named, self: true}, answers{}, "user, user.updated, user_updated", ""},
		"another version":          {update{edit: named, self: true, cond: never}, answers{}, "", PreconditionFailed},
		"one's email":              {update{edit: moved, self: true, verified: verified}, answers{passwordAt: login}, emailChanged, ""},
		"one's email, no password": {update{edit: moved, self: true}, answers{passwordAt: login}, "", ReauthenticationRequired},
		"one's email, old password": {
			update{edit: moved, self: true, verified: verified}, answers{passwordAt: login.Add(time.Second)}, "", ReauthenticationRequired,
		},
		"another's email":         {update{edit: moved}, answers{}, strings.Replace(emailChanged, "user, ", "user, sessions, ", 1), ""},
		"a mailbox with 5 tokens": {update{edit: moved}, answers{fresh: 5}, "user, sessions, user.updated, user_updated", ""},
		"an email's version":      {update{edit: moved, cond: never}, answers{}, "", PreconditionFailed},
	} {
		change, err := deciding.decideUpdate(t.Context(), c.tx, person("user"), c.update)
		if got := summary(change); got != c.want || codeOf(err) != c.code {
			t.Errorf("%s: %q (%v), want %q (%s)", name, got, err, c.want, c.code)
		}
		if change.Token != nil && change.User.EmailVerified {
			t.Errorf("%s: the new email is verified, want unverified", name)
		}
	}
}

func TestTheLastAdminStays(t *testing.T) {
	t.Parallel()
	known := []access.Role{{Name: "admin", Permissions: access.Permissions()}, {Name: "user"}}
	disabledAdmin := person("admin")
	disabledAdmin.Status = Disabled
	for name, decide := range map[string]func(answers, User) (Change, error){
		"demoted": func(tx answers, u User) (Change, error) {
			return deciding.decideRoles(t.Context(), tx, u, []string{"user"}, nil)
		},
		"disabled": func(tx answers, u User) (Change, error) {
			return deciding.decideStatus(t.Context(), tx, u, Disabled, nil)
		},
		"erased": func(tx answers, u User) (Change, error) { return deciding.decideErasure(t.Context(), tx, u, nil) },
	} {
		for _, c := range []struct {
			old     User
			another bool
			code    Code
		}{
			{person("admin"), false, LastAdmin},
			{person("admin"), true, ""},
			{person("user"), false, ""},
			{disabledAdmin, false, ""},
		} {
			if _, err := decide(answers{otherAdmin: c.another, roles: known}, c.old); codeOf(err) != c.code {
				t.Errorf("%s with roles %v, status %s and another admin %t: %v, want %q", name, c.old.Roles,
					c.old.Status, c.another, err, c.code)
			}
		}
	}
}

func TestDecideStatusAndErasure(t *testing.T) {
	t.Parallel()
	disabled := person("user")
	disabled.Status = Disabled
	status := func(u User, to Status, cond Precondition) (Change, error) {
		return deciding.decideStatus(t.Context(), answers{}, u, to, cond)
	}
	erasure := func(cond Precondition) (Change, error) {
		return deciding.decideErasure(t.Context(), answers{}, person("user"), cond)
	}
	for name, c := range map[string]struct {
		change func() (Change, error)
		want   string
		code   Code
	}{
		"disable": {
			func() (Change, error) { return status(person("user"), Disabled, nil) },
			"user, sessions, no tokens, user.updated, user_updated", "",
		},
		"disable again":         {func() (Change, error) { return status(disabled, Disabled, nil) }, "sessions, no tokens", ""},
		"enable":                {func() (Change, error) { return status(disabled, Active, nil) }, "user, user.updated, user_updated", ""},
		"another version":       {func() (Change, error) { return status(person("user"), Disabled, never) }, "", PreconditionFailed},
		"erase":                 {func() (Change, error) { return erasure(nil) }, "delete, user.deleted, user_deleted", ""},
		"erase another version": {func() (Change, error) { return erasure(never) }, "", PreconditionFailed},
	} {
		change, err := c.change()
		if got := summary(change); got != c.want || codeOf(err) != c.code {
			t.Errorf("%s: %q (%v), want %q (%s)", name, got, err, c.want, c.code)
		}
	}
	if erased, err := deciding.decideErasure(t.Context(), answers{}, person("user"), nil); err != nil || erased.Events[0].UserVersion != 4 {
		t.Errorf("the events of the erasure are %+v (%v), want user.deleted with version 4", erased.Events, err)
	}
}

func TestDecideRoles(t *testing.T) {
	t.Parallel()
	large := access.Role{Name: "large"}
	for i := range 100 {
		large.Permissions = append(large.Permissions, access.Permission(fmt.Sprintf("%s:%d", strings.Repeat("orders", 16), i)))
	}
	known := []access.Role{{Name: "user"}, {Name: "clerk", Permissions: []access.Permission{"orders:read"}}, large}
	many := slices.Repeat([]string{"clerk"}, 31)
	for name, c := range map[string]struct {
		roles []string
		cond  Precondition
		want  string
		code  Code
	}{
		"the same":        {[]string{"user"}, nil, "", ""},
		"one more, twice": {[]string{"user", "clerk", "clerk"}, nil, "user, user.updated, authz_change", ""},
		"none":            {[]string{}, nil, "user, user.updated, authz_change", ""},
		"unknown":         {[]string{"user", "boss"}, nil, "", Invalid},
		"too many":        {many, nil, "", Invalid},
		"too large":       {[]string{"large"}, nil, "", Invalid},
		"another version": {[]string{"clerk"}, never, "", PreconditionFailed},
	} {
		change, err := deciding.decideRoles(t.Context(), answers{roles: known}, person("user"), c.roles, c.cond)
		if got := summary(change); got != c.want || codeOf(err) != c.code {
			t.Errorf("%s: %q (%v), want %q (%s)", name, got, err, c.want, c.code)
		}
	}
	change, err := deciding.decideWithoutRole(person("clerk", "user"), "clerk")
	if err != nil || !slices.Equal(change.User.Roles, []string{"user"}) {
		t.Errorf("after the deletion of the role: %v (%v), want only the role user", change.User, err)
	}
}

func TestDecidePasswordAndReset(t *testing.T) {
	t.Parallel()
	session := &NewSession{Session: Session{ID: uuid.New()}}
	change, err := deciding.decidePassword(t.Context(), answers{passwordAt: login}, person("user"), passwordTime(login), "hash", session)
	want := "hash, sessions, new session, no tokens, user.password_changed, authn_password_change"
	if got := summary(change); got != want || err != nil {
		t.Errorf("a new password: %q (%v), want %q", got, err, want)
	}
	_, err = deciding.decidePassword(t.Context(), answers{passwordAt: login.Add(1)}, person("user"), passwordTime(login), "hash", session)
	if codeOf(err) != ReauthenticationRequired {
		t.Errorf("a password that was changed in between: %v, want %s", err, ReauthenticationRequired)
	}

	unverified := person("user")
	unverified.EmailVerified = false
	network := netip.MustParsePrefix("192.0.2.0/24")
	ctx := WithOrigin(t.Context(), Origin{IP: netip.MustParseAddr("192.0.2.1")})
	for name, c := range map[string]struct {
		user User
		want string
	}{
		"verified": {person("user"), "hash, sessions, no tokens, no failures, user.password_changed, authn_password_change"},
		"unverified": {
			unverified,
			"user, hash, sessions, no tokens, no failures, user.updated, user.password_changed, user_updated, authn_password_change",
		},
	} {
		change, err := deciding.decideReset(ctx, answers{}, c.user, "hash")
		if got := summary(change); got != c.want || err != nil || change.LoginNetwork != network {
			t.Errorf("%s: %q (%v), want %q", name, got, err, c.want)
		}
	}
}

func TestDecideVerification(t *testing.T) {
	t.Parallel()
	unverified := person("user")
	unverified.EmailVerified = false
	for name, c := range map[string]struct {
		user  User
		fresh int
		want  string
	}{
		"verified already":  {person("user"), 0, ""},
		"the first token":   {unverified, 0, "token, user.email_verification_requested, authn_token_created"},
		"the fifth token":   {unverified, 4, "token, user.email_verification_requested, authn_token_created"},
		"more than allowed": {unverified, 5, ""},
	} {
		change, err := deciding.decideVerification(t.Context(), answers{fresh: c.fresh}, c.user)
		if got := summary(change); got != c.want || err != nil {
			t.Errorf("%s: %q (%v), want %q", name, got, err, c.want)
		}
		if change.Token != nil &&
			(change.Token.ExpiresAt.Sub(change.Token.CreatedAt) != 24*time.Hour || change.Token.Email != c.user.Email) {
			t.Errorf("%s: the token is %+v, want a token for %s that is valid for 24 hours", name, change.Token, c.user.Email)
		}
	}
	if change, err := deciding.decideVerified(unverified); err != nil || !change.User.EmailVerified || change.User.Version != 4 {
		t.Errorf("a verification: %+v (%v), want a verified email and version 4", change.User, err)
	}
}

// attemptSummary describes a decision about an attempt in one line.
func attemptSummary(decision LoginDecision, refusal error) string {
	var parts []string
	for _, entry := range decision.Audit {
		parts = append(parts, string(entry.Action))
	}
	for part, holds := range map[string]bool{
		"counted": decision.Failure != nil, "reset": decision.Success, "session": decision.Session != nil,
		"event": decision.Event.Type == event.LoggedIn, "locked out": decision.LockedOut.Type == event.LockedOut,
		"refused": codeOf(refusal) == TooManyRequests,
	} {
		if holds {
			parts = append(parts, part)
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

func TestDecideAttempt(t *testing.T) {
	t.Parallel()
	active := Credential{UserID: person().ID, Status: Active, ChangedAt: login}
	correct := passwordCheck{cred: active, ok: true, failed: LoginFailed, session: &Session{ID: uuid.New()}}
	wrong, unknown := passwordCheck{cred: active, failed: LoginFailed}, passwordCheck{failed: LoginFailed}
	reauthentication := passwordCheck{cred: active, failed: PasswordChangeFailed}
	reauthenticated := passwordCheck{cred: active, ok: true, failed: PasswordChangeFailed}
	none := LoginFailures{Now: login}
	four := LoginFailures{Now: login, Network: FailureCount{Count: 4}}
	many := LoginFailures{Now: login, Total: FailureCount{Count: 99}}
	elsewhere := LoginFailures{Now: login, Total: FailureCount{Count: 99}, Known: true}
	blocked := LoginFailures{Now: login, Network: FailureCount{Count: 5, BlockedUntil: login.Add(time.Minute)}}
	for name, c := range map[string]struct {
		failures LoginFailures
		check    passwordCheck
		want     string
	}{
		"correct":                   {none, correct, "authn_login_success, event, reset, session"},
		"correct, after 4 failures": {four, correct, "authn_login_success, event, reset, session"},
		"correct, reauthentication": {none, reauthenticated, "reset"},
		"correct, during a backoff": {blocked, correct, "authn_login_fail, refused"},
		"wrong":                     {none, wrong, "authn_login_fail, counted"},
		"wrong, unknown email":      {none, unknown, "authn_login_fail, counted"},
		"wrong, reauthentication":   {none, reauthentication, "authn_password_change_fail, counted"},
		"wrong, the fifth time":     {four, wrong, "authn_login_lock, counted, locked out"},
		"wrong, the 100th time":     {many, wrong, "authn_login_lock, counted, locked out"},
		"wrong, a known network":    {elsewhere, wrong, "authn_login_fail, counted"},
		"wrong, during a backoff":   {blocked, wrong, "authn_login_fail, refused"},
	} {
		decision, refusal, err := deciding.decideAttempt(c.failures, c.check)
		if got := attemptSummary(decision, refusal); got != c.want || err != nil {
			t.Errorf("%s: %q (%v), want %q", name, got, err, c.want)
		}
	}
}

func TestAllowedChangesOfRoles(t *testing.T) {
	t.Parallel()
	admin := access.Role{Name: "admin", Permissions: access.Permissions()}
	less := access.Role{Name: "admin", Permissions: access.Permissions()[1:]}
	refused := func(*access.Role) bool { return false }
	for name, c := range map[string]struct {
		err  error
		code Code
	}{
		"replace admin":               {deciding.allowPut(&admin, admin, nil), ""},
		"admin loses a permission":    {deciding.allowPut(&admin, less, nil), BuiltInRole},
		"a new role":                  {deciding.allowPut(nil, access.Role{Name: "clerk"}, nil), ""},
		"failed precondition":         {deciding.allowPut(nil, access.Role{Name: "clerk"}, refused), PreconditionFailed},
		"delete a role":               {allowDelete(&admin, "clerk", nil), ""},
		"delete admin":                {allowDelete(&admin, "admin", nil), BuiltInRole},
		"delete user":                 {allowDelete(&admin, "user", nil), BuiltInRole},
		"delete, failed precondition": {allowDelete(&admin, "clerk", refused), PreconditionFailed},
		"permissions that fit":        {fits(100), ""},
		"permissions that don't":      {fits(100_000), Invalid},
	} {
		if codeOf(c.err) != c.code {
			t.Errorf("%s: %v, want %q", name, c.err, c.code)
		}
	}
	audit := RoleStored(&less, admin)
	if audit.Detail.Change != RoleUpdated || !slices.Equal(audit.Detail.Added, access.Permissions()[:1]) || len(audit.Detail.Removed) != 0 {
		t.Errorf("a role that gains a permission: %+v, want one added permission", audit.Detail)
	}
	if audit := RoleStored(nil, admin); audit.Detail.Change != RoleCreated || len(audit.Detail.Added) != len(access.Permissions()) {
		t.Errorf("a new role: %+v, want all its permissions as added", audit.Detail)
	}
	if audit := RoleRemoved(less); audit.Detail.Change != RoleDeleted || len(audit.Detail.Removed) != len(less.Permissions) {
		t.Errorf("a deleted role: %+v, want all its permissions as removed", audit.Detail)
	}
}

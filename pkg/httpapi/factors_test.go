package httpapi_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"user-service/pkg/event"
	"user-service/pkg/user"
)

func (s *server) factors(token string) factorList {
	s.t.Helper()
	return decode[factorList](s.t, s.call("GET", "/users/me/factors", nil, as(token)).want(s.t, 200))
}

// TestTheFirstFactorEndsTheOtherSessions adds a factor, which has no effect before its confirmation. At the confirmation, other sessions
// end, and recovery codes are shown once.
func TestTheFirstFactorEndsTheOtherSessions(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	other := s.login(a)
	added := decode[enrollment](t, s.call("POST", "/users/me/factors", newFactorOf(s, a), as(a.token)).want(t, 201))
	if !strings.HasPrefix(added.URI, "otpauth://totp/accounts.example.com:") || !strings.Contains(added.URI, "secret="+added.Secret+"&") {
		t.Errorf("the URI is %s, want one with the issuer and the secret", added.URI)
	}
	s.login(a) // with the password alone
	if got := s.factors(a.token); len(got.Items) != 1 || got.Items[0].Confirmed || got.Left != 0 {
		t.Errorf("the factors are %+v, want one that is not confirmed", got)
	}
	wrong := s.confirm(a, added.ID, "000000").wantProblem(t, 422, "validation-failed")
	if len(wrong.Errors) != 1 || wrong.Errors[0].Pointer != "/code" || wrong.Errors[0].Code != user.Incorrect {
		t.Errorf("a wrong code has the errors %+v, want one at /code", wrong.Errors)
	}
	first := decode[confirmed](t, s.confirm(a, added.ID, s.codeOf(a)).want(t, 200))
	if !first.Confirmed || len(first.RecoveryCodes) != 10 || len(slices.Compact(slices.Sorted(slices.Values(first.RecoveryCodes)))) != 10 {
		t.Errorf("the confirmation is %+v, want ten recovery codes", first)
	}
	s.isOut(other)
	s.call("GET", "/users/me", nil, as(a.token)).want(t, 200)
	s.confirm(a, added.ID, s.codeOf(a)).wantProblem(t, 404, "not-found")

	second := s.enroll(a)
	if len(second.codes) != 0 {
		t.Errorf("the second factor has recovery codes: %v, want none", second.codes)
	}
	got := s.factors(a.token)
	if len(got.Items) != 2 || !got.Items[0].Confirmed || got.Items[0].Type != "totp" || got.Items[0].Name != "Phone" || got.Left != 10 {
		t.Errorf("the factors are %+v, want two confirmed ones and ten codes", got)
	}
}

// TestFactorsNeedThePassword sends each change of factors without the password, with a wrong one, and with the right one.
func TestFactorsNeedThePassword(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	p := s.enroll(a)
	for path, status := range map[string]int{
		"/users/me/factors": 201, "/users/me/recovery-codes": 200, "/users/me/factors/" + p.id.String() + "/remove": 204,
	} {
		for _, pw := range []any{nil, "", "wrong " + goodPassword, goodPassword} {
			body := map[string]any{"current_password": pw}
			if path == "/users/me/factors" {
				body["type"] = "totp"
			}
			want := 403
			if pw == goodPassword {
				want = status
			}
			if want == 403 {
				s.call("POST", path, body, as(a.token)).wantProblem(t, 403, "reauthentication-required")
			} else if path == "/users/me/factors" || path == "/users/me/recovery-codes" {
				s.call("POST", path, body, as(a.token)).want(t, want)
			}
		}
		s.letTimePass()
		s.execute(`DELETE FROM password_failures`)
	}
	if got := s.factors(a.token); len(got.Items) != 2 {
		t.Errorf("the factors are %+v, want two", got)
	}
}

// TestRemovingTheLastFactorRemovesTheRecoveryCodes removes a factor as its user, and as an administrator.
func TestRemovingTheLastFactorRemovesTheRecoveryCodes(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.admin()
	for name, remove := range map[string]func(a account, p *app) answer{
		"user": func(a account, p *app) answer {
			return s.call("POST", "/users/me/factors/"+p.id.String()+"/remove", reauthenticationOf(s, a), as(a.token))
		},
		"admin": func(a account, p *app) answer {
			return s.call("DELETE", a.path()+"/factors/"+p.id.String(), nil, as(admin.token))
		},
	} {
		a := s.register()
		one, two := s.enroll(a), s.enroll(a)
		remove(a, two).want(t, 204)
		if got := s.factors(a.token); len(got.Items) != 1 || got.Left != 10 {
			t.Errorf("%s: the factors are %+v, want one and ten recovery codes", name, got)
		}
		remove(a, one).want(t, 204)
		remove(a, one).wantProblem(t, 404, "not-found")
		if got := s.factors(a.token); len(got.Items) != 0 || got.Left != 0 {
			t.Errorf("%s: the factors are %+v, want none", name, got)
		}
		s.login(a)
		by := a.ID
		if name == "admin" {
			by = admin.ID
		}
		_, removed := lastEvent[event.Factor](t, s, event.FactorRemoved)
		want := event.Factor{ID: a.ID, Factor: event.FactorItem{ID: one.id, Type: "totp", Name: "Phone"}, By: by.String()}
		if diff := cmp.Diff(want, removed); diff != "" {
			t.Errorf("%s: the event (-want +got):\n%s", name, diff)
		}
		var entries []string
		for _, e := range s.audit(s.login(admin).token, "action=user_updated&user_id="+a.ID.String()) {
			entries = append(entries, fmt.Sprintf("%s by %t", e.what(), e.ActorID != nil && *e.ActorID == by))
		}
		entry := `user_updated {"change":"removed","changed":["factors"],"factor":"totp","factor_id":"` + one.id.String() + `"} by true`
		if len(entries) != 4 || entries[0] != entry {
			t.Errorf("%s: the entries are %q, want %q first of 4", name, entries, entry)
		}
	}
}

// TestAnAdminCannotDeleteTheirOwnFactorWithoutThePassword checks that a stolen token of an administrator can't remove the administrator's
// own factor.
func TestAnAdminCannotDeleteTheirOwnFactorWithoutThePassword(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.admin()
	p := s.enroll(admin)
	for _, path := range []string{"/users/me", admin.path()} {
		s.call("DELETE", path+"/factors/"+p.id.String(), nil, as(admin.token)).wantProblem(t, 403, "reauthentication-required")
	}
}

// TestAFactorOfAnotherUserDoesNotExist uses the id of another user's factor in the caller's own path.
func TestAFactorOfAnotherUserDoesNotExist(t *testing.T) {
	t.Parallel()
	s := start(t)
	a, b, admin := s.register(), s.register(), s.admin()
	mine := s.enroll(a)
	pending := s.insertFactor(a, false)
	s.confirm(b, pending, s.codeOf(a)).wantProblem(t, 404, "not-found")
	s.call("POST", "/users/me/factors/"+mine.id.String()+"/remove", reauthenticationOf(s, b), as(b.token)).wantProblem(t, 404, "not-found")
	s.call("DELETE", b.path()+"/factors/"+mine.id.String(), nil, as(admin.token)).wantProblem(t, 404, "not-found")
	s.call("POST", "/users/me/recovery-codes", reauthenticationOf(s, b), as(b.token)).wantProblem(t, 404, "not-found")
	s.challenge(a)
}

// TestTheNumberOfFactorsIsLimited adds factors up to the limit.
func TestTheNumberOfFactorsIsLimited(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	for range user.MaxFactors {
		s.insertFactor(a, false)
	}
	p := s.call("POST", "/users/me/factors", newFactorOf(s, a), as(a.token)).wantProblem(t, 422, "validation-failed")
	if len(p.Errors) != 1 || p.Errors[0].Code != user.TooMany {
		t.Errorf("the errors are %+v, want too_many", p.Errors)
	}
}

// TestInvalidFactorsAreRefused sends bodies that break a rule.
func TestInvalidFactorsAreRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	id := s.insertFactor(a, false)
	for _, c := range []struct{ path, body, pointer string }{
		{"/users/me/factors", `{"current_password":"x"}`, "/type"},
		{"/users/me/factors", `{"type":"sms","current_password":"x"}`, "/type"},
		{"/users/me/factors", `{"type":"totp","name":"` + strings.Repeat("x", 65) + `"}`, "/name"},
		{"/users/me/factors", `{"type":"totp","name":"\u202e"}`, "/name"},
		{"/users/me/factors/" + id.String() + "/confirm", `{}`, "/code"},
		{"/users/me/factors/" + id.String() + "/confirm", `{"code":"` + strings.Repeat("1", 65) + `"}`, "/code"},
		{"/login/second-factor", `{"code":"1"}`, "/challenge"},
		{"/login/second-factor", `{"challenge":"1"}`, "/code"},
	} {
		p := s.call("POST", c.path, c.body, as(a.token)).wantProblem(t, 422, "validation-failed")
		if len(p.Errors) != 1 || p.Errors[0].Pointer != c.pointer {
			t.Errorf("%s %s has the errors %+v, want one at %s", c.path, c.body, p.Errors, c.pointer)
		}
	}
}

// TestWithoutADataKeyThereAreNoFactors checks that all paths are unknown without a key, and that a user with a factor can't log in.
func TestWithoutADataKeyThereAreNoFactors(t *testing.T) {
	t.Parallel()
	s := start(t)
	off := start(t, func(set *settings) { set.database, set.dataKey = s.dsn, "" })
	a := s.register()
	before := s.login(a)
	p := s.enroll(a)
	for _, token := range []string{a.token, ""} {
		for method, paths := range map[string][]string{
			http.MethodGet: {"/users/me/factors"},
			http.MethodPost: {"/users/me/factors", "/users/me/recovery-codes", "/login/second-factor", "/users/me/factors/" +
				p.id.String() + "/confirm"},
			http.MethodDelete: {a.path() + "/factors/" + p.id.String()},
		} {
			for _, path := range paths {
				off.call(method, path, nil, as(token)).wantProblem(t, 404, "not-found")
			}
		}
	}
	got := off.call("POST", "/login", credentialsOf(s, a))
	got.wantProblem(t, 503, "unavailable")
	off.fail(a.Email).wantProblem(t, 401, "invalid-credentials")
	off.isOut(before)
	off.login(off.register())
}

// TestSecretsMoveToTheCurrentKey rotates DATA_KEY: first the new key is accepted, then it encrypts, then the old key is removed.
func TestSecretsMoveToTheCurrentKey(t *testing.T) {
	t.Parallel()
	s := start(t)
	a, b := s.register(), s.register()
	p := s.enroll(a)
	for range 250 {
		s.insertFactor(b, true)
	}
	next := newDataKey()
	set := func(key, accepted string) {
		t.Helper()
		if err := s.dataKeys.Set(key, accepted); err != nil {
			t.Fatal(err)
		}
		s.loginWith(a, p)
	}
	set(dataKey, next)
	set(next, dataKey)
	s.clean()
	set(next, "")
	counts, err := s.db.SecretsByKey(t.Context())
	if want := map[string]int{s.dataKeys.CurrentID(): 251}; err != nil || !cmp.Equal(want, counts) {
		t.Errorf("the secrets by key are %v (%v), want %v", counts, err, want)
	}
	if err := s.dataKeys.Set(newDataKey(), ""); err != nil { // the key is lost
		t.Fatal(err)
	}
	s.secondStep(s.challenge(a), "123456").wantProblem(t, 503, "unavailable")
	s.secondStep(s.challenge(a), p.codes[0]).want(t, 200) // recovery codes are not encrypted
}

// TestACopiedSecretIsRefused copies the secret of one user to the factor of another.
func TestACopiedSecretIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	a, b := s.register(), s.register()
	s.enroll(a)
	p := s.enroll(b)
	s.execute(`UPDATE factors SET secret = (SELECT secret FROM factors WHERE user_id = $2) WHERE user_id = $1`, a.ID, b.ID)
	s.secondStep(s.challenge(a), p.fresh(s)).wantProblem(t, 503, "unavailable")
}

// TestErasureRemovesTheFactors checks that no table keeps rows of an erased user.
func TestErasureRemovesTheFactors(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	s.enroll(a)
	s.secondStep(s.challenge(a), "000000").want(t, 401)
	s.challenge(a)
	s.call("DELETE", "/users/me", nil, as(a.token)).want(t, 204)
	for _, table := range []string{"factors", "recovery_codes", "login_challenges", "password_failures", "login_failures"} {
		if n := s.execute(`DELETE FROM ` + table); n != 0 {
			t.Errorf("%s has %d rows of the erased user, want none", table, n)
		}
	}
}

// TestAFactorThatWasNotConfirmedInTimeIsDeleted lets an hour pass.
func TestAFactorThatWasNotConfirmedInTimeIsDeleted(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	kept, late := s.enroll(a), s.insertFactor(a, false)
	code := s.codeOf(a)
	s.execute(`UPDATE factors SET created_at = now() - $1::interval`, user.UnconfirmedTTL+time.Second)
	for range user.MaxFactors - 2 {
		s.insertFactor(a, false)
	}
	s.confirm(a, late, code).wantProblem(t, 404, "not-found") // before the cleanup deletes it
	if got := s.factors(a.token); len(got.Items) != user.MaxFactors-1 {
		t.Errorf("there are %d factors, want %d without the expired one", len(got.Items), user.MaxFactors-1)
	}
	s.call("POST", "/users/me/factors", newFactorOf(s, a), as(a.token)).want(t, 201)
	s.clean()
	s.call("POST", "/users/me/factors/"+late.String()+"/remove", reauthenticationOf(s, a), as(a.token)).wantProblem(t, 404, "not-found")
	s.loginWith(a, kept)
}

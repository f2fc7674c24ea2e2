package httpapi_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// relyingParty is the domain of the pages in these tests.
const relyingParty = "example.com"

var rp = virtualwebauthn.RelyingParty{ID: relyingParty, Name: "Example", Origin: "https://" + relyingParty}

// device is an authenticator with one passkey.
type device struct {
	rp      virtualwebauthn.RelyingParty
	options virtualwebauthn.AuthenticatorOptions
	key     virtualwebauthn.Credential
	id      uuid.UUID // the id of the factor
}

// passkeyEnrollment is the response to a new passkey.
type passkeyEnrollment struct {
	ID        uuid.UUID
	PublicKey json.RawMessage `json:"publicKey"`
}

// passkeyRequest is the response that begins a login with a passkey.
type passkeyRequest struct {
	Challenge string
	PublicKey json.RawMessage `json:"publicKey"`
}

func newDevice(a account) *device {
	d := &device{rp: rp, options: virtualwebauthn.AuthenticatorOptions{UserHandle: a.ID[:]}}
	const full = 77 // bytes of a public key in COSE; the library omits leading zeros of the coordinates
	for len(d.key.ID) == 0 || len(d.key.Key.AttestationData()) != full {
		d.key = virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
	}
	return d
}

// create returns the response of the authenticator to creation options.
func (d *device) create(t *testing.T, options json.RawMessage) json.RawMessage {
	t.Helper()
	parsed, err := virtualwebauthn.ParseAttestationOptions(string(options))
	if err != nil {
		t.Fatal(err)
	}
	return json.RawMessage(virtualwebauthn.CreateAttestationResponse(d.rp, virtualwebauthn.NewAuthenticatorWithOptions(d.options),
		d.key, *parsed))
}

// sign returns the response of the authenticator to a challenge. Each signature increases the counter.
func (d *device) sign(t *testing.T, challenge string) json.RawMessage {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(challenge)
	if err != nil {
		t.Fatal(err)
	}
	d.key.Counter++
	return json.RawMessage(virtualwebauthn.CreateAssertionResponse(d.rp, virtualwebauthn.NewAuthenticatorWithOptions(d.options), d.key,
		virtualwebauthn.AssertionOptions{Challenge: raw, RelyingPartyID: relyingParty}))
}

// addPasskey registers a passkey of an account.
func (s *server) addPasskey(a account, d *device) answer {
	s.t.Helper()
	body := map[string]any{"type": "passkey", "name": "Laptop", "current_password": a.password}
	added := decode[passkeyEnrollment](s.t, s.call("POST", "/users/me/factors", body, as(a.token)).want(s.t, 201))
	d.id = added.ID
	return s.call("POST", "/users/me/factors/"+added.ID.String()+"/confirm",
		map[string]any{"credential": d.create(s.t, added.PublicKey)}, as(a.token))
}

func (s *server) passkeyChallenge() string {
	s.t.Helper()
	return decode[passkeyRequest](s.t, s.call("POST", "/login/passkey/options", nil).want(s.t, 200)).Challenge
}

func (s *server) passkeyLogin(challenge string, credential json.RawMessage) answer {
	s.t.Helper()
	return s.call("POST", "/login/passkey", map[string]any{"challenge": challenge, "credential": credential})
}

// passkeyLoginOf returns the body of a login with a new passkey of the account.
func passkeyLoginOf(s *server, a account) any {
	d, challenge := newDevice(a), s.passkeyChallenge()
	s.addPasskey(a, d).want(s.t, 200)
	return map[string]any{"challenge": challenge, "credential": d.sign(s.t, challenge)}
}

// TestTheOwnerOfAnEmailRemovesPasskeysOfOthers resets the password of an account whose email was not verified. Somebody else may have added
// its passkey. Later resets keep the passkeys.
func TestTheOwnerOfAnEmailRemovesPasskeysOfOthers(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	d := newDevice(a)
	s.addPasskey(a, d).want(t, 200)
	s.call("POST", "/password-reset/confirm", resetOf(s, a)).want(t, 204)
	challenge := s.passkeyChallenge()
	s.passkeyLogin(challenge, d.sign(t, challenge)).want(t, 401)

	a.password = newPassword
	a = s.login(a) // needs no second factor
	s.addPasskey(a, d).want(t, 200)
	s.call("POST", "/password-reset/confirm", resetOf(s, a)).want(t, 204)
	challenge = s.passkeyChallenge()
	s.passkeyLogin(challenge, d.sign(t, challenge)).want(t, 200)
}

// TestAPasskeyLogsIn registers a passkey, and logs in with it alone and after the password.
func TestAPasskeyLogsIn(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	d := newDevice(a)
	if got := decode[confirmed](t, s.addPasskey(a, d).want(t, 200)); !got.Confirmed || len(got.RecoveryCodes) != 10 {
		t.Errorf("the confirmation is %+v, want ten recovery codes", got)
	}
	challenge := s.passkeyChallenge()
	wantAMR(t, s.passkeyLogin(challenge, d.sign(t, challenge)), "pop", "user", "mfa")
	s.passkeyLogin(challenge, d.sign(t, challenge)).wantProblem(t, 401, "invalid-challenge")

	required := s.call("POST", "/login", credentialsOf(s, a))
	required.wantProblem(t, 403, "second-factor-required")
	step := decode[struct {
		factorProblem
		PublicKey struct {
			Challenge, RPID, UserVerification string
			AllowCredentials                  []struct{ ID string }
		}
	}](t, required)
	if !cmp.Equal(step.Factors, []string{"passkey", "recovery_code"}) || step.PublicKey.Challenge != step.Challenge ||
		step.PublicKey.RPID != relyingParty || step.PublicKey.UserVerification != "required" || len(step.PublicKey.AllowCredentials) != 1 {
		t.Errorf("the second step is %+v, want the request options for the passkey", step)
	}
	got := s.call("POST", "/login/second-factor", map[string]any{"challenge": step.Challenge, "credential": d.sign(t, step.Challenge)})
	wantAMR(t, got, "pwd", "pop", "user", "mfa")
	refreshed := s.call("POST", "/refresh", map[string]any{"refresh_token": decode[tokens](t, got).RefreshToken})
	wantAMR(t, refreshed, "pwd", "pop", "user", "mfa")
}

// TestAWrongPasskeyIsRefused sends credentials that each have one fault. All get the same response, except for the id of the request.
func TestAWrongPasskeyIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.admin()
	same := ""
	for name, change := range map[string]func(a *account, d *device){
		"an unknown passkey": func(a *account, d *device) { d.key = newDevice(*a).key },
		"another key":        func(a *account, d *device) { d.key.Key = newDevice(*a).key.Key },
		"a counter that went back": func(_ *account, d *device) {
			d.key.Counter = 0
		},
		"another origin":       func(_ *account, d *device) { d.rp.Origin = "https://evil.example" },
		"an origin by http":    func(_ *account, d *device) { d.rp.Origin = "http://" + relyingParty },
		"another party":        func(_ *account, d *device) { d.rp.ID = "evil.example" },
		"no user verification": func(_ *account, d *device) { d.options.UserNotVerified = true },
		"no user":              func(_ *account, d *device) { d.options.UserNotPresent = true },
		"another user":         func(_ *account, d *device) { d.options.UserHandle = admin.ID[:] },
		"no user handle":       func(_ *account, d *device) { d.options.UserHandle = nil },
		"a disabled account": func(a *account, _ *device) {
			s.call("PUT", a.path()+"/status", `{"status":"disabled"}`, as(admin.token)).want(t, 200)
		},
		"an erased account": func(a *account, _ *device) { s.call("DELETE", a.path(), nil, as(admin.token)).want(t, 204) },
		"a removed passkey": func(a *account, d *device) {
			s.call("DELETE", a.path()+"/factors/"+d.id.String(), nil, as(admin.token)).want(t, 204)
		},
	} {
		a := s.register()
		d := newDevice(a)
		s.addPasskey(a, d).want(t, 200)
		for range 2 {
			challenge := s.passkeyChallenge()
			s.passkeyLogin(challenge, d.sign(t, challenge)).want(t, 200)
		}
		change(&a, d)
		challenge := s.passkeyChallenge()
		got := s.passkeyLogin(challenge, d.sign(t, challenge))
		p := got.wantProblem(t, 401, "invalid-credentials")
		text := fmt.Sprint(p.Type, p.Title, p.Detail, p.Instance, got.header["Www-Authenticate"])
		if same == "" {
			same = text
		}
		if text != same {
			t.Errorf("%s: the response is %s, want %s", name, text, same)
		}
	}
	challenge := s.passkeyChallenge()
	s.passkeyLogin(challenge, json.RawMessage(`{"id":"x"}`)).wantProblem(t, 401, "invalid-credentials")
	s.passkeyLogin("unknown", json.RawMessage(`{"id":"x"}`)).wantProblem(t, 401, "invalid-challenge")
}

// TestAfterThePasswordThePasskeyNeedNotNameTheUser logs in with the password and a credential without userHandle.
func TestAfterThePasswordThePasskeyNeedNotNameTheUser(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	d := newDevice(a)
	s.addPasskey(a, d).want(t, 200)
	d.options.UserHandle = nil
	challenge := s.challenge(a)
	got := s.call("POST", "/login/second-factor", map[string]any{"challenge": challenge, "credential": d.sign(t, challenge)})
	wantAMR(t, got, "pwd", "pop", "user", "mfa")
}

// TestACounterThatStaysZeroIsValid uses an authenticator without a counter.
func TestACounterThatStaysZeroIsValid(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	d := newDevice(a)
	s.addPasskey(a, d).want(t, 200)
	for range 3 {
		challenge := s.passkeyChallenge()
		credential := func() json.RawMessage {
			zero := *d
			zero.key.Counter = ^uint32(0) // sign adds one
			return zero.sign(t, challenge)
		}()
		s.passkeyLogin(challenge, credential).want(t, 200)
	}
}

// TestAWrongRegistrationIsRefused sends credentials that each have one fault.
func TestAWrongRegistrationIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	a, b := s.register(), s.register()
	known := newDevice(b)
	s.addPasskey(b, known).want(t, 200)
	for name, change := range map[string]func(d *device){
		"another origin":       func(d *device) { d.rp.Origin = "https://evil.example" },
		"another party":        func(d *device) { d.rp.ID = "evil.example" },
		"no user verification": func(d *device) { d.options.UserNotVerified = true },
		"a passkey of another": func(d *device) { d.key.ID = known.key.ID },
	} {
		d := newDevice(a)
		change(d)
		p := s.addPasskey(a, d).wantProblem(t, 422, "validation-failed")
		if len(p.Errors) != 1 || p.Errors[0].Pointer != "/credential" {
			t.Errorf("%s: the errors are %+v, want one at /credential", name, p.Errors)
		}
	}
	s.login(a) // no factor is in effect
}

// TestAPasskeyLoginReplacesThePasswordForFiveMinutes adds factors in a session from a login with a passkey.
func TestAPasskeyLoginReplacesThePasswordForFiveMinutes(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	d := newDevice(a)
	s.addPasskey(a, d).want(t, 200)
	body := map[string]any{"type": "totp", "name": "Phone"}
	s.call("POST", "/users/me/factors", body, as(a.token)).wantProblem(t, 403, "reauthentication-required")
	challenge := s.passkeyChallenge()
	a.token = decode[tokens](t, s.passkeyLogin(challenge, d.sign(t, challenge)).want(t, 200)).AccessToken
	s.call("POST", "/users/me/factors", body, as(a.token)).want(t, 201)
	for _, path := range []string{"/users/me/recovery-codes", "/users/me/factors/" + d.id.String() + "/remove"} { // only new factors
		s.call("POST", path, `{}`, as(a.token)).wantProblem(t, 403, "reauthentication-required")
	}
	s.execute(`UPDATE sessions SET created_at = now() - $1::interval`, 5*time.Minute+time.Second)
	s.call("POST", "/users/me/factors", body, as(a.token)).wantProblem(t, 403, "reauthentication-required")
	s.call("POST", "/users/me/factors", newFactorOf(s, a), as(a.token)).want(t, 201)
}

// passkeyAccount returns the account with a session from a login with the passkey alone.
func (s *server) passkeyAccount(a account, d *device) account {
	s.t.Helper()
	challenge := s.passkeyChallenge()
	got := decode[tokens](s.t, s.passkeyLogin(challenge, d.sign(s.t, challenge)).want(s.t, 200))
	a.token, a.refresh = got.AccessToken, got.RefreshToken
	return a
}

// refreshed returns the account with refreshed tokens.
func (s *server) refreshed(a account) account {
	s.t.Helper()
	got := decode[tokens](s.t, s.call("POST", "/refresh", map[string]any{"refresh_token": a.refresh}).want(s.t, 200))
	a.token, a.refresh = got.AccessToken, got.RefreshToken
	return a
}

// TestANewPasswordDoesNotRenewThePasskeyLogin changes the password in a session from a login with a passkey an hour ago. The new session
// has the time and the methods of this login.
func TestANewPasswordDoesNotRenewThePasskeyLogin(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	d := newDevice(a)
	s.addPasskey(a, d).want(t, 200)
	a = s.passkeyAccount(a, d)
	s.execute(`UPDATE sessions SET created_at = created_at - interval '1 hour'`)
	body := map[string]any{"type": "totp", "name": "Phone"}
	login := authTime(t, s.refreshed(a).token)
	for _, next := range []string{newPassword, goodPassword} { // the second change is that of a session without a login
		a = s.changePassword(a, next)
		if got := authTime(t, a.token); got != login || !cmp.Equal(amr(t, a.token), []string{"pop", "user", "mfa"}) {
			t.Errorf("the new session has auth_time %v and amr %v, want those of the login at %v", got, amr(t, a.token), login)
		}
		s.call("POST", "/users/me/factors", body, as(a.token)).wantProblem(t, 403, "reauthentication-required")
	}
	a = s.refreshed(a)
	if got := authTime(t, a.token); got != login {
		t.Errorf("after a refresh, auth_time is %v, want %v", got, login)
	}
	s.call("POST", "/users/me/factors", body, as(a.token)).wantProblem(t, 403, "reauthentication-required")
	s.call("POST", "/users/me/factors", newFactorOf(s, a), as(a.token)).want(t, 201)
}

// TestARemovedPasskeyAddsNoFactor adds a factor in the session of a passkey that was removed, as the thief of a device would. The session of
// another passkey adds one.
func TestARemovedPasskeyAddsNoFactor(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	stolen, kept := newDevice(a), newDevice(a)
	s.addPasskey(a, stolen).want(t, 200)
	s.addPasskey(a, kept).want(t, 200)
	thief, owner := s.passkeyAccount(a, stolen), s.passkeyAccount(a, kept)
	s.execute(`UPDATE factors SET last_used_at = now() - interval '1 hour' WHERE id = $1`, kept.id)
	s.call("POST", "/users/me/factors/"+stolen.id.String()+"/remove", reauthenticationOf(s, a), as(owner.token)).want(t, 204)
	body := map[string]any{"type": "totp", "name": "Phone"}
	s.call("POST", "/users/me/factors", body, as(thief.token)).wantProblem(t, 403, "reauthentication-required")
	s.call("POST", "/users/me/factors", body, as(s.passkeyAccount(a, kept).token)).want(t, 201)
}

// TestPasskeysCanBeOff checks the responses without WEBAUTHN_RP_ID.
func TestPasskeysCanBeOff(t *testing.T) {
	t.Parallel()
	s := start(t)
	off := start(t, func(set *settings) { set.database, set.rpID = s.dsn, "" })
	a := s.register()
	d := newDevice(a)
	s.addPasskey(a, d).want(t, 200)
	body := map[string]any{"type": "passkey", "current_password": a.password}
	off.call("POST", "/users/me/factors", body, as(a.token)).wantProblem(t, 422, "validation-failed")
	body["name"] = strings.Repeat("a", 65)
	p := off.call("POST", "/users/me/factors", body, as(a.token)).wantProblem(t, 422, "validation-failed")
	if len(p.Errors) != 2 || !containsPointer(p.Errors, "/type") || !containsPointer(p.Errors, "/name") {
		t.Errorf("errors are %+v, want one for /type and one for /name", p.Errors)
	}
	off.call("POST", "/login/passkey/options", nil).wantProblem(t, 404, "not-found")
	off.call("POST", "/login/passkey", `{}`).wantProblem(t, 404, "not-found")
	required := off.call("POST", "/login", credentialsOf(s, a))
	required.wantProblem(t, 403, "second-factor-required")
	step := decode[factorProblem](t, required)
	if !cmp.Equal(step.Factors, []string{"recovery_code"}) || strings.Contains(string(required.body), "publicKey") {
		t.Errorf("the second step is %s, want recovery codes only", required.body)
	}
	credential := map[string]any{"challenge": step.Challenge, "credential": d.sign(t, step.Challenge)}
	off.call("POST", "/login/second-factor", credential).wantProblem(t, 401, "invalid-code")
}

// TestAPasskeyChallengeIsUsedOnce sends one credential 20 times to two replicas.
func TestAPasskeyChallengeIsUsedOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	other := start(t, func(set *settings) { set.database = s.dsn })
	a := s.register()
	d := newDevice(a)
	s.addPasskey(a, d).want(t, 200)
	challenge := s.passkeyChallenge()
	credential := d.sign(t, challenge)
	statuses := make([]int, 20)
	var all sync.WaitGroup
	for i := range statuses {
		all.Go(func() {
			statuses[i] = patiently(func() answer { return []*server{s, other}[i%2].passkeyLogin(challenge, credential) }).status
		})
	}
	all.Wait()
	for _, status := range statuses {
		if status != 200 && status != 401 {
			t.Errorf("a status is %d, want 200 or 401", status)
		}
	}
	if n := s.execute(`DELETE FROM sessions WHERE user_id = $1 AND 'mfa' = ANY(amr)`, a.ID); n != 1 {
		t.Errorf("%d sessions are opened, want one", n)
	}
}

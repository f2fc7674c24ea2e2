package httpapi_test

import (
	"encoding/base32"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/factor"
)

// enrollment is the response to a new factor.
type enrollment struct {
	ID     uuid.UUID
	Secret string
	URI    string `json:"otpauth_uri"`
}

// confirmed is the response to a confirmation.
type confirmed struct {
	ID            uuid.UUID
	Confirmed     bool
	RecoveryCodes []string `json:"recovery_codes"`
}

// factorList is the list of a user's factors.
type factorList struct {
	Items []struct {
		ID         uuid.UUID
		Type, Name string
		LastUsedAt string `json:"last_used_at"`
		Confirmed  bool
	}
	Left int `json:"recovery_codes_left"`
}

// factorProblem is the problem of a login that needs a second factor.
type factorProblem struct {
	Type, Challenge string
	Factors         []string
}

func newFactorOf(_ *server, a account) any {
	return map[string]any{"type": "totp", "name": "Phone", "current_password": a.password}
}

func reauthenticationOf(_ *server, a account) any {
	return map[string]any{"current_password": a.password}
}

// secondStepOf returns the body of the second step of a login.
func secondStepOf(s *server, a account) any {
	s.insertFactor(a, true)
	return map[string]any{"challenge": s.challenge(a), "code": s.codeOf(a)}
}

// factorFor creates the factor that an operation needs. It returns the replacement of {factor_id} in a path.
func (s *server) factorFor(operation string, a account) []string {
	s.t.Helper()
	switch operation {
	case "confirmFactor":
		return []string{"{factor_id}", s.insertFactor(a, false).String()}
	case "removeFactor", "deleteFactor", "newRecoveryCodes":
		return []string{"{factor_id}", s.insertFactor(a, true).String()}
	default:
		return nil
	}
}

// insertFactor stores a factor directly in the database.
func (s *server) insertFactor(a account, confirmed bool) uuid.UUID {
	s.t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		s.t.Fatal(err)
	}
	sealed, err := s.dataKeys.Seal(a.ID, id, factor.NewSecret())
	if err != nil {
		s.t.Fatal(err)
	}
	s.execute(`INSERT INTO factors (id, user_id, type, name, secret, key_id, confirmed_at)
		VALUES ($1, $2, 'totp', 'Phone', $3, $4, CASE WHEN $5 THEN now() END)`, id, a.ID, sealed.Data, sealed.KeyID, confirmed)
	return id
}

// codeOf returns the current code of the newest factor of a user.
func (s *server) codeOf(a account) string {
	s.t.Helper()
	var id uuid.UUID
	var sealed factor.Sealed
	conn := s.connect()
	defer func() { _ = conn.Close(s.t.Context()) }()
	if err := conn.QueryRow(s.t.Context(), `SELECT id, secret, key_id FROM factors WHERE user_id = $1 ORDER BY id DESC LIMIT 1`, a.ID).
		Scan(&id, &sealed.Data, &sealed.KeyID); err != nil {
		s.t.Fatal(err)
	}
	secret, err := s.dataKeys.Open(a.ID, id, sealed)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.codeAt(secret, time.Now())
}

func (s *server) codeAt(secret []byte, at time.Time) string {
	s.t.Helper()
	code, err := factor.TOTPCode(secret, at)
	if err != nil {
		s.t.Fatal(err)
	}
	return code
}

// challenge logs in with the password, and returns the challenge for the second step.
func (s *server) challenge(a account) string {
	s.t.Helper()
	got := s.call("POST", "/login", credentialsOf(s, a))
	got.wantProblem(s.t, 403, "second-factor-required")
	return decode[factorProblem](s.t, got).Challenge
}

// secondStep sends a code for a challenge.
func (s *server) secondStep(challenge, code string, options ...option) answer {
	s.t.Helper()
	return s.call("POST", "/login/second-factor", map[string]any{"challenge": challenge, "code": code}, options...)
}

// app is an authenticator app.
type app struct {
	id     uuid.UUID
	secret []byte
	codes  []string // recovery codes
}

// enroll adds a TOTP factor through the API and confirms it.
func (s *server) enroll(a account) *app {
	s.t.Helper()
	added := decode[enrollment](s.t, s.call("POST", "/users/me/factors", newFactorOf(s, a), as(a.token)).want(s.t, 201))
	secret, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(added.Secret)
	if err != nil {
		s.t.Fatal(err)
	}
	p := &app{id: added.ID, secret: secret}
	p.codes = decode[confirmed](s.t, s.confirm(a, added.ID, s.codeAt(secret, time.Now())).want(s.t, 200)).RecoveryCodes
	return p
}

func (s *server) confirm(a account, id uuid.UUID, code string) answer {
	s.t.Helper()
	return s.call("POST", "/users/me/factors/"+id.String()+"/confirm", map[string]any{"code": code}, as(a.token))
}

// fresh returns the current code. It first forgets the used time steps, so that the service accepts the code.
func (p *app) fresh(s *server) string {
	s.t.Helper()
	s.execute(`UPDATE factors SET last_step = 0 WHERE id = $1`, p.id)
	return s.codeAt(p.secret, time.Now())
}

// loginWith logs in with a code of the app.
func (s *server) loginWith(a account, p *app) account {
	s.t.Helper()
	got := decode[tokens](s.t, s.secondStep(s.challenge(a), p.fresh(s)).want(s.t, 200))
	a.token, a.refresh = got.AccessToken, got.RefreshToken
	return a
}

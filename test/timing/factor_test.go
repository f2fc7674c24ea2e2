package timing_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/factor"
	"user-service/pkg/user"
)

// protected creates an active account with confirmed factors of a type. It returns the secret of the last app.
func (s *target) protected(email string, typ factor.Type, factors int) (secret []byte) {
	s.t.Helper()
	s.account(email)
	var userID uuid.UUID
	if err := s.pool.QueryRow(s.t.Context(), `SELECT id FROM users WHERE email = $1`, email).Scan(&userID); err != nil {
		s.t.Fatal(err)
	}
	for range factors {
		id := uuid.New()
		secret = factor.NewSecret()
		sealed, err := s.keys.Seal(userID, id, secret)
		if err != nil {
			s.t.Fatal(err)
		}
		s.sql(`INSERT INTO factors (id, user_id, type, name, secret, key_id, confirmed_at) VALUES ($1, $2, $3, 'Phone', $4, $5, now())`,
			id, userID, typ, sealed.Data, sealed.KeyID)
	}
	_, hashes := factor.NewRecoveryCodes(userID)
	for _, hash := range hashes {
		s.sql(`INSERT INTO recovery_codes (user_id, code_hash) VALUES ($1, $2)`, userID, hash[:])
	}
	return secret
}

// The tests whose names end in IsFound check the other tests: those must fail for a service whose times differ.

func TestTheTimeOfALoginRevealsNoSecondFactor(t *testing.T) {
	s := newTarget(t, plain)
	if all := measureProtected(s); all.verdict() != "" {
		t.Errorf("the time of a login with a wrong password reveals the factor: %s\n%s", all.verdict(), all)
	}
}

func TestALoginThatReadsTheFactorsFirstIsFound(t *testing.T) {
	s := newTarget(t, func(store user.Store) user.Store { return factorsFirst{store, hashTime / 10} })
	if all := measureProtected(s); all.verdict() == "" {
		t.Errorf("no difference is found in a service that takes longer for a user with a factor:\n%s", all)
	}
}

func TestTheTimeOfABurstOfLoginsRevealsNoSecondFactor(t *testing.T) {
	s := newTargetOf(t, burstHash, plain)
	if all := measureProtectedBursts(s); all.verdict() != "" {
		t.Errorf("the time of a burst of logins reveals the factors: %s\n%s", all.verdict(), all)
	}
}

func TestABurstThatReadsTheFactorsFirstIsFound(t *testing.T) {
	s := newTargetOf(t, burstHash, func(store user.Store) user.Store { return factorsFirst{store, hashTime} })
	if all := measureProtectedBursts(s); all.verdict() == "" {
		t.Errorf("no difference is found in a service that takes longer for users with a factor:\n%s", all)
	}
}

// factorsFirst reads the factors before it verifies the password, and works on those that it finds.
type factorsFirst struct {
	user.Store

	burn time.Duration
}

func (s factorsFirst) Credential(ctx context.Context, email string) (user.Credential, error) {
	cred, err := s.Store.Credential(ctx, email)
	if known, factorErr := s.LoginFactors(ctx, cred.UserID); factorErr == nil && len(known.All) > 0 {
		for began := time.Now(); time.Since(began) < s.burn; {
			continue
		}
	}
	return cred, err
}

// measureProtected compares logins with a wrong password of users with and without second factors.
func measureProtected(s *target) comparison {
	s.t.Helper()
	s.account("known@example.com")
	s.protected("app@example.com", factor.TOTP, user.MaxFactors)
	s.protected("passkey@example.com", factor.PasskeyType, 1)
	wrong := func(name, email string) probe {
		return probe{name, "/login", credentials(email, wrongPassword), http.StatusUnauthorized}
	}
	return s.measure(rounds{least: 20, limit: *limit, tries: 3}, []probe{
		wrong("unknown email", "unknown@example.com"), wrong("no factor", "known@example.com"),
		wrong("ten apps", "app@example.com"), wrong("a passkey", "passkey@example.com"),
	}, s.forget)
}

func measureProtectedBursts(s *target) comparison {
	s.t.Helper()
	for i := range imported {
		s.account(many("without", i))
		s.protected(many("with", i), factor.TOTP, 1)
	}
	return s.compareBursts([2]string{"with", "without"}, 30, func(kind string, _, i int) probe {
		return probe{kind, "/login", credentials(many(kind, i), wrongPassword), http.StatusUnauthorized}
	})
}

// challenge logs in with the correct password, and returns the challenge.
func (s *target) challenge(email string) string {
	s.t.Helper()
	_, answer := s.try(probe{"the password", "/login", credentials(email, goodPassword), http.StatusForbidden})
	var required struct{ Challenge string }
	if err := json.Unmarshal(answer.Body.Bytes(), &required); err != nil || required.Challenge == "" {
		s.t.Fatalf("%s: %d %s, want a challenge", email, answer.Code, answer.Body)
	}
	return required.Challenge
}

// TestTheTimeOfACodeDoesNotTellWhetherItWasUsed compares wrong codes with codes that were used. An attacker who knows the password could
// otherwise find out that a code, or a recovery code, was valid before.
func TestTheTimeOfACodeDoesNotTellWhetherItWasUsed(t *testing.T) {
	s := newTarget(t, plain)
	s.protected("wrong@example.com", factor.TOTP, 1)
	secret := s.protected("used@example.com", factor.TOTP, 1)
	s.protected("recovery@example.com", factor.TOTP, 1)
	s.sql(`UPDATE factors SET last_step = 1000000000000 WHERE user_id = (SELECT id FROM users WHERE email = 'used@example.com')`)
	current := func() string {
		code, err := factor.TOTPCode(secret, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	send := func(name, email string, code func() string) probe {
		challenge := s.challenge(email)
		body := func() string { return fmt.Sprintf(`{"challenge": %q, "code": %q}`, challenge, code()) }
		return probe{name, "/login/second-factor", body, http.StatusUnauthorized}
	}
	all := s.measure(rounds{least: 20, limit: *limit, tries: 3}, []probe{
		send("a wrong code", "wrong@example.com", func() string { return "000000" }),
		send("a used code", "used@example.com", current),
		send("a used recovery code", "recovery@example.com", func() string { return "k5vq-2m7d-xw3t-6hra" }),
	}, func() {
		s.forget()
		s.sql(`UPDATE login_challenges SET tries = 0, expires_at = now() + interval '5 minutes'`)
	})
	if all.verdict() != "" {
		t.Errorf("the time of a code tells whether it was used: %s\n%s", all.verdict(), all)
	}
}

package httpapi_test

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"user-service/internal/testkit"
	"user-service/pkg/password"
	"user-service/pkg/user"
)

// slow returns a hash of the password that takes some tenths of a second to verify.
func slow(t *testing.T, pw string) string {
	t.Helper()
	const iterations = 800_000
	key, err := pbkdf2.Key(sha256.New, pw, []byte("salt"), iterations, 32)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("pbkdf2_sha256$%d$salt$%s", iterations, base64.StdEncoding.EncodeToString(key))
}

// TestAnAbandonedHashCountsAsAFailure cancels logins while their slow hashes run. Each canceled login must count as a login failure, so
// that canceled requests cannot cause an unlimited number of hashes.
func TestAnAbandonedHashCountsAsAFailure(t *testing.T) {
	t.Parallel()
	s := startBehindAProxy(t)
	a, admin := s.register(), s.admin()
	s.execute(`UPDATE credentials SET password_hash = $1 WHERE user_id = $2`, slow(t, a.password), a.ID)
	origin := user.WithOrigin(t.Context(), user.Origin{IP: netip.MustParseAddr(travel)})
	for range 3 {
		ctx, hangUp := context.WithCancel(origin)
		done := make(chan error, 1)
		go func() {
			_, err := s.users.Login(ctx, user.Login{Email: a.Email, Password: a.password})
			done <- err
		}()
		testkit.WaitFor(t, "the hash", func() bool { return s.hasher.Running() != 0 })
		hangUp()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v, want %v", err, context.Canceled)
		}
		testkit.WaitFor(t, "the end of the hash", func() bool { return s.hasher.Running() == 0 }) // the hash is not canceled
	}
	if n := len(s.audit(admin.token, "action=authn_login_fail&user_id="+a.ID.String())); n != 3 {
		t.Errorf("%d failures are in the audit trail, want 3", n)
	}
	if n := s.execute(`DELETE FROM password_failures WHERE failures = 3 AND network = '203.0.113.0/24'`); n != 1 {
		t.Errorf("%d rows count 3 failures of the network, want 1", n)
	}
}

// TestAnAttemptWithoutASlotDoesNotCount checks that attempts which an overloaded service refuses do not cause a backoff.
func TestAnAttemptWithoutASlotDoesNotCount(t *testing.T) {
	t.Parallel()
	s := start(t, func(set *settings) { set.limits = password.Limits{Concurrency: 1, Queue: 0, MaxWait: time.Second} })
	a := s.register()
	has, release := s.takeSlot()
	<-has
	for range 6 {
		s.fail(a.Email).wantProblem(t, 503, "overloaded")
		s.call("PUT", "/users/me/password", change("wrong", newPassword), as(a.token)).wantProblem(t, 503, "overloaded")
	}
	release()
	for range 4 {
		patiently(func() answer { return s.fail(a.Email) }).want(t, 401)
	}
	patiently(func() answer {
		return s.call("POST", "/login", map[string]any{"email": a.Email, "password": a.password})
	}).want(t, 200)
}

// TestRequestsWithoutAnAddressAreOneNetwork logs in without an IP address, as peers of a Unix socket do. All these logins must count as
// logins from one network.
func TestRequestsWithoutAnAddressAreOneNetwork(t *testing.T) {
	t.Parallel()
	s := startBehindAProxy(t)
	a := s.register()
	login := func(pw string) error {
		_, err := s.users.Login(t.Context(), user.Login{Email: a.Email, Password: pw})
		return err
	}
	if err := login(a.password); err != nil {
		t.Fatal(err)
	}
	code := func(err error) user.Code {
		var e *user.Error
		if !errors.As(err, &e) {
			t.Fatal(err)
		}
		return e.Code
	}
	for range 5 {
		if got := code(login("wrong")); got != user.InvalidCredentials {
			t.Errorf("the code is %s, want %s", got, user.InvalidCredentials)
		}
	}
	if got := code(login(a.password)); got != user.TooManyRequests {
		t.Errorf("the code of the sixth attempt is %s, want %s", got, user.TooManyRequests)
	}
	s.try(home, a.Email, a.password).want(t, 200)
}

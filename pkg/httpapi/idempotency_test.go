package httpapi_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"user-service/pkg/token"
	"user-service/pkg/user"
)

func key(value string) option { return header("Idempotency-Key", value) }

// creations returns bodies of the requests that create an account, by path. Another name makes another body with the same email.
var creations = map[string]func(email, name string) string{
	"/register": func(email, name string) string {
		return fmt.Sprintf(`{"email":%q,"password":%q,"name":%q,"metadata":{"b":"<&>\u2028","a":1.10}}`, email, goodPassword, name)
	},
	"/users": func(email, name string) string {
		return fmt.Sprintf(`{"email":%q,"name":%q,"metadata":{"b":"<&>\u2028","a":1.10}}`, email, name)
	},
}

// wantRepeated checks that an answer repeats the first answer.
func (a answer) wantRepeated(t *testing.T, first answer) {
	t.Helper()
	a.want(t, 201)
	for _, name := range []string{"Location", "ETag", "Content-Type", "Content-Length", "Cache-Control"} {
		if got := a.header.Get(name); got != first.header.Get(name) {
			t.Errorf("%s is %q, want %q as in the first response", name, got, first.header.Get(name))
		}
	}
	if !bytes.Equal(a.body, first.body) {
		t.Errorf("the body is\n%s\nwant the first one\n%s", a.body, first.body)
	}
}

func TestARequestIsRepeated(t *testing.T) {
	t.Parallel()
	for path, body := range creations {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			admin := s.admin()
			send := func(email, name string, options ...option) answer {
				return s.call("POST", path, body(email, name), append(options, as(admin.token))...)
			}
			first := send("ada@example.com", "Ada", key(`"one"`)).want(t, 201)
			u := decode[user.User](t, first)
			s.call("PATCH", "/users/"+u.ID.String(), `{"name":"Countess"}`, as(admin.token)).want(t, 200)
			hashes := s.hashes.Load()
			send("ada@example.com", "Ada", key(`"one"`)).wantRepeated(t, first)
			if n := s.hashes.Load() - hashes; n != 0 {
				t.Errorf("a repeated request computes %d hashes, want none", n)
			}
			p := send("ada@example.com", "Eve", key(`"one"`)).wantProblem(t, 422, "idempotency-key-reused")
			if len(p.Errors) != 1 || p.Errors[0].Pointer != "" {
				t.Errorf("errors are %+v, want one for the whole body", p.Errors)
			}
			send("ada@example.com", "Ada", key(`"two"`)).wantProblem(t, 409, "email-taken")
			send("ada@example.com", "Ada").wantProblem(t, 409, "email-taken")
			if n := s.execute(`UPDATE outbox SET retry_at = NULL WHERE subject = $1 AND type = 'user.created'`, u.ID); n != 1 {
				t.Errorf("%d events user.created are stored, want 1", n)
			}
		})
	}
}

// TestARefusedRequestCanBeCorrected checks that only a success is stored.
func TestARefusedRequestCanBeCorrected(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.call("POST", "/register", `{"email":"ada@example.com","password":"short"}`, key(`"one"`)).wantProblem(t, 422, "validation-failed")
	s.call("POST", "/register", creations["/register"](s.register().Email, "Ada"), key(`"one"`)).wantProblem(t, 409, "email-taken")
	s.call("POST", "/register", creations["/register"]("ada@example.com", "Ada"), key(`"one"`)).want(t, 201)
}

// TestAKeyBelongsToItsEndpointAndCaller uses one key for four requests with different callers and endpoints.
func TestAKeyBelongsToItsEndpointAndCaller(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.call("POST", "/register", creations["/register"]("a@example.com", "A"), key(`"one"`)).want(t, 201)
	s.call("POST", "/users", creations["/users"]("b@example.com", "B"), key(`"one"`), as(s.admin().token)).want(t, 201)
	s.call("POST", "/users", creations["/users"]("c@example.com", "C"), key(`"one"`), as(s.admin().token)).want(t, 201)
	s.call("POST", "/register", creations["/register"]("d@example.com", "D"), key(`"one"`)).wantProblem(t, 422, "idempotency-key-reused")
}

func TestTheFormOfAKey(t *testing.T) {
	t.Parallel()
	s := start(t)
	body := creations["/register"]("ada@example.com", "Ada")
	for _, value := range []string{
		"", "one", `""`, `"`, `"one`, `one"`, `"o"ne"`, `"one";a=1`, `"one", "two"`, `"a\b"`, `"a\"`, `"ä"`, "\"\t\"", `'one'`, "17",
		`"` + strings.Repeat("x", 129) + `"`, `:b25l:`,
	} {
		s.call("POST", "/register", body, key(value)).wantProblem(t, 400, "invalid-parameter")
	}
	twice := func(r *http.Request) { r.Header["Idempotency-Key"] = []string{`"one"`, `"one"`} }
	s.call("POST", "/register", body, twice).wantProblem(t, 400, "invalid-parameter")

	longest := `"` + strings.Repeat(`\"`, 64) + strings.Repeat(`\\`, 64) + `"`
	first := s.call("POST", "/register", body, key(longest)).want(t, 201)
	s.call("POST", "/register", body, key(longest)).wantRepeated(t, first)
	s.call("POST", "/login", map[string]any{"email": "ada@example.com", "password": goodPassword}, key("ignored elsewhere")).want(t, 200)
}

// TestConcurrentRequestsWithAKey sends 50 identical requests to two replicas. They create one account with one event of each type.
func TestConcurrentRequestsWithAKey(t *testing.T) {
	t.Parallel()
	for path, body := range creations {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			s := start(t, func(set *settings) { set.cfg.VerifyAtRegistration = true })
			replicas := []*server{s, start(t, func(set *settings) { set.database = s.dsn; set.cfg.VerifyAtRegistration = true })}
			admin := s.admin()
			answers := make([]answer, 50)
			var wg sync.WaitGroup
			for i := range answers {
				wg.Go(func() {
					answers[i] = patiently(func() answer {
						return replicas[i%2].call("POST", path, body("ada@example.com", "Ada"), key(`"one"`), as(admin.token))
					})
				})
			}
			wg.Wait()
			first := s.call("POST", path, body("ada@example.com", "Ada"), key(`"one"`), as(admin.token)).want(t, 201)
			done := 0
			for _, a := range answers {
				if a.status == 201 {
					done++
					a.wantRepeated(t, first)
				} else if a.wantProblem(t, 409, "idempotency-key-in-use"); a.header.Get("Retry-After") != "1" {
					t.Errorf("Retry-After is %q, want 1", a.header.Get("Retry-After"))
				}
			}
			if done == 0 {
				t.Error("no request succeeds, want at least one")
			}
			u := decode[user.User](t, first)
			if n := s.execute(`UPDATE users SET version = version WHERE email = 'ada@example.com'`); n != 1 {
				t.Errorf("%d accounts are created, want 1", n)
			}
			events := s.execute(`UPDATE outbox SET retry_at = NULL WHERE subject = $1`, u.ID)
			if events != 2 {
				t.Errorf("%d events are stored, want user.created and one token", events)
			}
		})
	}
}

// TestARunningRequestIsNotRepeated makes the first request wait for a lock, and sends it again to the same replica and to another one.
func TestARunningRequestIsNotRepeated(t *testing.T) {
	t.Parallel()
	s := start(t)
	other := start(t, func(set *settings) { set.database = s.dsn })
	conn := s.connect()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The first request holds its key while it waits to store the row of its key.
	if _, err := tx.Exec(t.Context(), `LOCK TABLE idempotency_keys IN SHARE MODE`); err != nil {
		t.Fatal(err)
	}
	send := func(s *server) answer {
		return s.call("POST", "/register", creations["/register"]("ada@example.com", "Ada"), key(`"one"`))
	}
	answered := make(chan answer)
	go func() { answered <- send(s) }()
	s.waitForLock()
	send(s).wantProblem(t, 409, "idempotency-key-in-use")
	// A request at another replica finds the key in use. If it arrives between two attempts of the first request, it waits for the same
	// lock.
	others := make(chan answer)
	go func() { others <- send(other) }()
	_ = tx.Rollback(t.Context())
	_ = conn.Close(t.Context())
	results := []answer{<-answered, <-others}
	created := 0
	for _, a := range results {
		if a.status == 201 {
			created++
		} else {
			a.wantProblem(t, 409, "idempotency-key-in-use")
		}
	}
	send(other).want(t, 201)
	if created == 0 || s.execute(`UPDATE users SET version = version WHERE email = 'ada@example.com'`) != 1 {
		t.Errorf("%d of two requests succeed, want at least one, and one account", created)
	}
}

// TestTheResponseToAKeyIsKeptForADay checks the expiry, the cleanup and the erasure.
func TestTheResponseToAKeyIsKeptForADay(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.admin()
	send := func(email string) answer {
		return s.call("POST", "/users", creations["/users"](email, "Ada"), key(`"one"`), as(admin.token))
	}
	first := send("ada@example.com").want(t, 201)
	s.execute(`UPDATE idempotency_keys SET created_at = now() - interval '23 hours 59 minutes'`)
	send("ada@example.com").wantRepeated(t, first)
	s.execute(`UPDATE idempotency_keys SET created_at = now() - interval '24 hours 1 second'`)
	send("ada@example.com").wantProblem(t, 409, "email-taken")
	second := send("eve@example.com").want(t, 201) // replaces the expired key
	send("eve@example.com").wantRepeated(t, second)

	u := decode[user.User](t, second)
	s.call("DELETE", "/users/"+u.ID.String(), nil, as(admin.token)).want(t, 204)
	if n := s.execute(`DELETE FROM idempotency_keys`); n != 0 {
		t.Errorf("%d keys are left after the erasure, want none", n)
	}
	if again := decode[user.User](t, send("eve@example.com").want(t, 201)); again.ID == u.ID {
		t.Error("the erased account is shown again, want a new one")
	}
}

// TestOnlyAMACOfTheBodyIsStored checks that neither the body nor the key is stored, and not a plain hash of the body either. The MAC is
// verified during a rotation of the secret too.
func TestOnlyAMACOfTheBodyIsStored(t *testing.T) {
	t.Parallel()
	s := start(t)
	body := creations["/register"]("ada@example.com", "Ada")
	send := func() answer { return s.call("POST", "/register", body, key(`"one"`)) }
	first := send().want(t, 201)
	if n := s.execute(`DELETE FROM idempotency_keys WHERE body_mac = sha256(convert_to($1, 'UTF8')) OR length(body_mac) <> 32
		OR key_hash = convert_to('one', 'UTF8') OR idempotency_keys::text LIKE '%' || $2 || '%'`, body, goodPassword); n != 0 {
		t.Error("the body or the key is stored, want only a MAC and a hash")
	}
	next := strings.Repeat("another secret of these tests; ", 2)
	for _, c := range []struct {
		keys   token.Keys
		status int
	}{
		{token.Keys{Secret: next, AcceptedSecrets: []string{secret}}, 201},
		{token.Keys{Secret: next}, 422},
		{token.Keys{Secret: secret}, 201},
	} {
		if err := s.keys(c.keys); err != nil {
			t.Fatal(err)
		}
		if got := send().want(t, c.status); c.status == 201 {
			got.wantRepeated(t, first)
		}
	}
}

// TestARepeatedRequestCounts checks that repetitions count in the quota.
func TestARepeatedRequestCounts(t *testing.T) {
	t.Parallel()
	s := start(t, func(set *settings) { set.limit = 3 })
	send := func() answer {
		return s.call("POST", "/register", creations["/register"]("ada@example.com", "Ada"), key(`"one"`))
	}
	for range 3 {
		send().want(t, 201)
	}
	send().wantProblem(t, 429, "too-many-requests")
}

func TestAStoredResponseNeedsThePermission(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin, other := s.admin(), s.admin()
	send := func() answer {
		return s.call("POST", "/users", creations["/users"]("ada@example.com", "Ada"), key(`"one"`), as(other.token))
	}
	send().want(t, 201)
	s.call("PUT", other.path()+"/roles", `{"roles":["user"]}`, as(admin.token)).want(t, 200)
	send().wantProblem(t, 403, "forbidden")
}

package fuzz_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"user-service/internal/testkit"
	"user-service/pkg/access"
	"user-service/pkg/password"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/user"
	"user-service/test/replica"
)

// kind is the authentication of a request, or the permissions of its caller.
type kind int

const (
	nobody   kind = iota
	customer      // Has the role user.
	reader        // May read everything.
	admin
	disabled // The account was disabled after the token was issued.
	ended    // Its session has ended.
	expired  // The token of a customer, but expired.
	forged   // The token of a customer, but with an invalid signature or form.
	garbage  // Not a token.
	invited  // Has no password, so it is only the target of requests.
)

// isValid reports whether the service issued the token and may still accept it.
func (k kind) isValid() bool { return k == customer || k == reader || k == admin }

const (
	slots    = 6   // the number of accounts of each kind
	lifetime = 150 // number of uses, after which a slot gets a new account
)

// person is an account and its session.
type person struct {
	id, email, password, access, refresh, session string
}

// people are accounts in slots. After a request has damaged an account, its slot gets a new account before the next use.
type people struct {
	t      *testing.T
	r      *replica.Replica
	users  *user.Service
	slots  map[kind][]*slot
	tokens *oneTimeTokens
	made   atomic.Int64
}

type slot struct {
	mu   sync.Mutex
	now  person
	uses int
	lost bool
}

func newPeople(t *testing.T, r *replica.Replica, dsn string) *people {
	t.Helper()
	params := password.Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}
	limits := password.Limits{Concurrency: 1, Queue: 64, MaxWait: time.Minute}
	hasher, err := password.NewHasher(password.Config{Params: params, Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	p := &people{
		t: t, r: r, slots: map[kind][]*slot{},
		users: user.New(user.Config{Passwords: password.Policy{MinLength: 15}}, postgrestest.Connect(t, dsn, nil), hasher, nil),
	}
	p.tokens = consumeTokens(t)
	for _, k := range []kind{customer, reader, admin, disabled, ended, invited} {
		for range slots {
			p.slots[k] = append(p.slots[k], &slot{lost: true})
		}
	}
	first := p.get(admin, 0)
	p.call("PUT", "/roles/reader", first.access, `{"permissions": ["users:read", "roles:read", "audit:read"]}`, 200)
	return p
}

// get returns the account of a slot.
func (p *people) get(k kind, n int) person {
	if k == expired || k == forged || k == garbage || k == nobody {
		k = customer
	}
	s := p.slots[k][n]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uses++; s.lost || s.uses > lifetime && k.isValid() || k == invited && s.uses > 3 { // an invitation may be confirmed
		s.now, s.uses, s.lost = p.make(k), 0, false
	}
	return s.now
}

// lose marks the account of a slot as unusable, so that get replaces it.
func (p *people) lose(k kind, n int) {
	if k.isValid() {
		s := p.slots[k][n]
		s.mu.Lock()
		defer s.mu.Unlock()
		s.lost = true
	}
}

// roles are the roles of each kind.
var roles = map[kind][]string{reader: {access.User, "reader"}, admin: {access.Admin}}

// make creates an account and logs it in.
func (p *people) make(k kind) person {
	n := p.made.Add(1)
	it := person{email: fmt.Sprintf("person-%d@example.com", n), password: fmt.Sprintf("seven green kettles sing %d", n)}
	u, err := p.create(k, it)
	if err != nil {
		p.t.Errorf("create an account: %v", err)
		return it
	}
	it.id = u.ID.String()
	p.tokens.know(it.id)
	if k == invited {
		return it
	}
	body := p.call("POST", "/login", "", string(mustJSON(map[string]string{"email": it.email, "password": it.password})), 200)
	var got struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	_ = json.Unmarshal(body, &got)
	it.access, it.refresh = got.Access, got.Refresh
	var claims jwt.MapClaims
	if _, _, err := jwt.NewParser().ParseUnverified(it.access, &claims); err == nil {
		it.session, _ = claims["sid"].(string)
	}
	switch k {
	case disabled:
		if _, err := p.users.SetStatus(p.t.Context(), access.Internal(u.ID), user.Disabled, nil); err != nil {
			p.t.Errorf("disable an account: %v", err)
		}
	case ended:
		p.call("DELETE", "/users/me/sessions", it.access, "", 204)
	}
	return it
}

func (p *people) create(k kind, it person) (user.User, error) {
	internal := access.Internal(uuid.Nil)
	if k == invited {
		return p.users.Invite(p.t.Context(), internal, user.Invitee{Email: it.email})
	}
	return p.users.Create(p.t.Context(), internal, user.Registration{Email: it.email, Password: it.password}, roles[k]...)
}

// call sends a request that prepares other requests.
func (p *people) call(method, path, token, body string, want int) []byte {
	w := &wire{method: method, target: path, proto: "HTTP/1.1", body: []byte(body)}
	w.add("X-Forwarded-For", fmt.Sprintf("2001:db8:%x::1", p.made.Load()%0xffff))
	if body != "" {
		w.add("Content-Type", "application/json")
	}
	if token != "" {
		w.add("Authorization", "Bearer "+token)
	}
	c := client{addr: p.r.Addr}
	defer c.close()
	a := c.send(w)
	for range 5 { // the machine may be busy
		if a.err == nil && a.Status != 503 {
			break
		}
		testkit.Pause(context.Background(), time.Second)
		a = c.send(w)
	}
	if a.Status != want {
		p.t.Errorf("%s %s to prepare others: %d %v %s", method, path, a.Status, a.err, a.ResponseBody)
	}
	return a.ResponseBody
}

// authorization returns the value of the header for a caller; "" means no header.
func (p *people) authorization(k kind, it person, choice int) string {
	switch k {
	case nobody:
		return ""
	case expired:
		return "Bearer " + resign(it.access, replica.Secret, func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Hour).Unix() })
	case forged:
		return []string{
			"Bearer " + resign(it.access, "another secret, which is long enough for a key", func(jwt.MapClaims) {}),
			"Bearer " + resign(it.access, "", func(c jwt.MapClaims) { c["permissions"] = []string{"users:read"} }),
			"Bearer " + it.access[:len(it.access)-8] + "AAAAAAAA",
			"Bearer " + it.access + "." + it.access,
			"Bearer " + strings.ReplaceAll(it.access, ".", ".\t"),
		}[choice%5]
	case garbage:
		return []string{
			"Bearer", "Bearer ", "Basic YTpi", it.access, "Bearer \xff\xfe", "Bearer null", "Bearer " + it.refresh, "Bearer a.b.c",
			"Bearer " + strings.Repeat("A", 9000), "Token " + it.access,
		}[choice%10]
	default:
		return []string{"Bearer ", "bearer ", "BEARER   "}[choice%3] + it.access
	}
}

// resign changes the claims of a token and signs them with a key; "" means the algorithm none.
func resign(token, key string, alter func(jwt.MapClaims)) string {
	var claims jwt.MapClaims
	parsed, _, err := jwt.NewParser().ParseUnverified(token, &claims)
	if err != nil {
		return "a.b.c"
	}
	alter(claims)
	method, signer := jwt.SigningMethod(jwt.SigningMethodHS256), any([]byte(key))
	if key == "" {
		method, signer = jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType
	}
	altered := jwt.NewWithClaims(method, claims)
	altered.Header["typ"], altered.Header["kid"] = parsed.Header["typ"], parsed.Header["kid"]
	signed, err := altered.SignedString(signer)
	if err != nil {
		return "a.b.c"
	}
	return signed
}

func mustJSON(value any) []byte {
	raw, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return raw
}

package bench_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"user-service/internal/testkit"
)

const (
	otherUsers = 12
	loginRate  = 4.0 // logins per second of all other users together: each logs in 20 times a minute
)

// session is a session of a user at an address.
type session struct {
	email, password, address string
	token                    string
}

// others are the users who are not part of the flood. Each has a different network.
type others struct {
	*replica
	client *http.Client
	users  []*session
}

// usage holds the responses to the other users.
type usage struct{ logins, reads answers }

// use makes the users log in and read at steady rates.
func (o *others) use(during time.Duration) usage {
	var u usage
	var kinds sync.WaitGroup
	kinds.Go(func() {
		u.logins = openLoop(loginRate, during, func(n int) int {
			a := o.users[n%len(o.users)]
			return o.call(o.client, request{
				method: http.MethodPost, path: "/login", address: a.address, body: loginBody(a.email, a.password),
			}).status
		})
	})
	kinds.Go(func() {
		u.reads = openLoop(readRate, during, func(n int) int {
			a := o.users[n%len(o.users)]
			return o.call(o.client, request{method: http.MethodGet, path: "/users/me", address: a.address, token: a.token}).status
		})
	})
	kinds.Wait()
	return u
}

// register creates and logs in accounts, each from a different network, so that they reach no limit.
func (s *replica) register(b *testing.B, name string, n int) []*session {
	b.Helper()
	const atOnce = 2
	client, users := newClient(atOnce), make([]*session, n)
	var turn atomic.Int64
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for i := int(turn.Add(1)) - 1; i < n; i = int(turn.Add(1)) - 1 {
				a := &session{email: fmt.Sprintf("%s-%d@example.com", name, i), password: benchPassword, address: nextNetwork()}
				if err := s.open(client, a); err != nil {
					b.Error(err)
				}
				users[i] = a
			}
		})
	}
	workers.Wait()
	if b.Failed() {
		b.FailNow()
	}
	return users
}

// open registers and logs in. It retries while the machine is too busy.
func (s *replica) open(client *http.Client, a *session) error {
	post := func(path string) response {
		r := request{method: http.MethodPost, path: path, address: a.address, body: loginBody(a.email, a.password)}
		got := s.call(client, r)
		for tries := 0; tries < 30 && (got.status == http.StatusServiceUnavailable || got.status == 0); tries++ {
			testkit.Pause(context.Background(), time.Second)
			got = s.call(client, r)
		}
		return got
	}
	// A registration may have been stored although its response was late. Its retry is then a conflict.
	if r := post("/register"); r.status != http.StatusCreated && r.status != http.StatusConflict {
		return fmt.Errorf("register: %d %s", r.status, r.body)
	}
	r := post("/login")
	if a.token = accessToken(r); a.token == "" {
		return fmt.Errorf("log in: %d %s", r.status, r.body)
	}
	return nil
}

// accessToken returns the access token of a token response, or "".
func accessToken(r response) string {
	var tokens struct {
		Access string `json:"access_token"`
	}
	_ = json.Unmarshal(r.body, &tokens)
	return tokens.Access
}

var networks atomic.Int64

// nextNetwork returns an address in an IPv4 /24 that no other account uses.
func nextNetwork() string {
	n := networks.Add(1)
	return fmt.Sprintf("10.%d.%d.1", n/256%256, n%256)
}

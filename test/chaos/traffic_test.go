package chaos_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	password = "seven green kettles sing"
	clients  = 16 // requests at the same time
)

// account is what the clients know for sure about an account: what was answered.
type account struct {
	id, email string
	names     []string // by version: the first is that of version 1
	deleted   bool
}

func (a *account) version() int { return len(a.names) }

// traffic is many clients that register, change and delete accounts. After a request whose
// outcome is unknown they try again until they know it, so that each ends with certainty.
type traffic struct {
	t        *testing.T
	clients  []*http.Client
	target   func() string      // the replica for the next request
	tolerate func(answer) error // whether an answer that settles nothing is one to expect now
	domain   string             // of all emails, and of no other test's
	token    string             // an admin's

	requests, settled, troubles atomic.Int64

	mu       sync.Mutex
	accounts []*account
	took     []time.Duration
}

func newTraffic(t *testing.T, target func() string) *traffic {
	kept := &http.Client{Timeout: hangTime, Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	t.Cleanup(kept.CloseIdleConnections)
	return &traffic{
		t: t, clients: []*http.Client{kept}, target: target, tolerate: unavailable,
		domain: strings.ToLower(rand.Text()) + ".example",
	}
}

// ask sends a request until its answer settles what became of it. surely is false if an earlier try may
// have been carried out too.
func (tr *traffic) ask(r request) (got answer, surely bool, err error) {
	for deadline, surely := time.Now().Add(patience()), true; ; surely = false {
		n := int(tr.requests.Add(1))
		got = r.send(tr.clients[n%len(tr.clients)], tr.target(), tr.token)
		if got.settled() {
			tr.settled.Add(1)
			tr.note(got.took)
			return got, surely, nil
		}
		tr.troubles.Add(1)
		if err := tr.tolerate(got); err != nil {
			return got, false, fmt.Errorf("%s %s: %w", r.method, r.path, err)
		}
		if time.Now().After(deadline) {
			return got, false, fmt.Errorf("%s %s: still failing: %v", r.method, r.path, got)
		}
		<-time.After(100 * time.Millisecond)
	}
}

func (tr *traffic) note(took time.Duration) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.took = append(tr.took, took)
}

// checkUnhurt reports an error if requests failed for what was taken away. A busy machine may
// keep the database from answering one or the other in time; all are another matter.
func (tr *traffic) checkUnhurt() {
	tr.t.Helper()
	if failed, of := tr.troubles.Load(), tr.settled.Load(); failed*100 > of {
		tr.t.Errorf("%d of %d requests failed", failed, of)
	}
}

// slowest returns how long the slowest hundredth of the requests took, at the least.
func (tr *traffic) slowest() time.Duration {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	slices.Sort(tr.took)
	return tr.took[len(tr.took)*99/100]
}

func (tr *traffic) add(a *account) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.accounts = append(tr.accounts, a)
}

// flow begins lives at the rate of the flag until it is stopped, which waits for them to end.
func (tr *traffic) flow() (stop func()) {
	ended, flowing := make(chan struct{}), make(chan error)
	go func() {
		var lives errgroup.Group
		lives.SetLimit(clients)
		pace := time.NewTicker(time.Second / time.Duration(*arrival))
		defer pace.Stop()
		for n := 0; ; n++ {
			select {
			case <-ended:
				flowing <- lives.Wait()
				return
			case <-pace.C:
				lives.Go(func() error { return tr.live(n) })
			}
		}
	}()
	stop = sync.OnceFunc(func() {
		close(ended)
		if err := <-flowing; err != nil {
			tr.t.Error(err)
		}
	})
	tr.t.Cleanup(stop)
	return stop
}

// await waits until n more requests have been answered.
func (tr *traffic) await(n int64) {
	tr.t.Helper()
	goal := tr.settled.Load() + n
	waitFor(tr.t, "requests to be answered", func() bool { return tr.settled.Load() >= goal })
}

// user is an account as the API and the events show it.
type user struct {
	ID      string `json:"id"`
	Email   string `json:"email"`
	Name    string `json:"name"`
	Version int    `json:"version"`
}

type page struct {
	Items      []user `json:"items"`
	NextCursor string `json:"next_cursor"`
}

// list returns all accounts, read page by page.
func (tr *traffic) list() []user {
	tr.t.Helper()
	var all []user
	for cursor := ""; ; {
		got, _, err := tr.ask(request{method: "GET", path: "/users?limit=100&cursor=" + cursor})
		var next page
		if err == nil {
			err = got.decode(http.StatusOK, &next)
		}
		if err != nil {
			tr.t.Fatalf("list: %v", err)
		}
		all = append(all, next.Items...)
		if cursor = next.NextCursor; cursor == "" {
			return all
		}
	}
}

// login becomes the admin of the given email.
func (tr *traffic) login(email string) {
	tr.t.Helper()
	got, _, err := tr.ask(request{method: "POST", path: "/login", body: map[string]string{"email": email, "password": password}})
	if err == nil {
		err = got.want(http.StatusOK)
	}
	var tokens struct {
		AccessToken string `json:"access_token"`
	}
	if err == nil {
		err = json.Unmarshal(got.body, &tokens)
	}
	if err != nil {
		tr.t.Fatalf("log in: %v", err)
	}
	tr.token = tokens.AccessToken
}

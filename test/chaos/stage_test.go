package chaos_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// stage is all that a test has: replicas of the service, clients that make changes, and
// the ledger of the events.
type stage struct {
	t        *testing.T
	began    time.Time
	database *pgxpool.Pool // reached directly, whatever way the replicas go
	replicas []*service
	traffic  *traffic
	ledger   *ledger
}

// newStage starts replicas on the servers that env names, and the database's admin.
func newStage(t *testing.T, replicas int, database string, env settings) *stage {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	s := &stage{t: t, began: time.Now(), database: pool, ledger: openLedger(t, env)}
	for range replicas {
		replica := newService(t, settings{"DATABASE_URL": database}.with(env))
		replica.start()
		s.replicas = append(s.replicas, replica)
	}
	var turn atomic.Int64
	s.traffic = newTraffic(t, func() string { return s.replicas[int(turn.Add(1))%replicas].url })
	s.makeAdmin(database)
	return s
}

// makeAdmin makes the account by which the clients change and list the others. It has its
// event too.
func (s *stage) makeAdmin(database string) {
	s.t.Helper()
	email := "admin@" + s.traffic.domain
	id := runProgram(s.t, settings{"DATABASE_URL": database, "ARGON2_MEMORY_KIB": "64", "ARGON2_ITERATIONS": "1"}, password,
		"users", "create", "--email", email, "--name", "Name 1", "--role", "admin", "--password-stdin")
	s.traffic.add(&account{id: strings.TrimSpace(id), email: email, names: []string{"Name 1"}})
	s.traffic.login(email)
}

// say tells what happens, and when.
func (s *stage) say(format string, args ...any) {
	s.t.Helper()
	s.t.Logf("%5.1f s  "+format, append([]any{time.Since(s.began).Seconds()}, args...)...)
}

// waiting returns how many events are in the outbox.
func (s *stage) waiting() (n int) {
	s.t.Helper()
	err := s.database.QueryRow(s.t.Context(), `SELECT count(*) FROM outbox`).Scan(&n)
	if err != nil {
		s.t.Fatalf("look at the outbox: %v", err)
	}
	return n
}

// check holds the service to its promises at the end of a test: what the API shows is
// what was answered, and the events are those of what was answered.
func (s *stage) check() {
	s.t.Helper()
	s.checkList()
	waitFor(s.t, "the outbox to be empty", func() bool { return s.waiting() == 0 })
	s.checkEvents()
}

// checkList compares the list of all accounts with what is known of each.
func (s *stage) checkList() {
	s.t.Helper()
	shown := make(map[string]user)
	for _, u := range s.traffic.list() {
		shown[u.ID] = u
	}
	for _, a := range s.traffic.accounts {
		u, exists := shown[a.id]
		delete(shown, a.id)
		if exists && !a.deleted {
			if err := s.traffic.check(a, u); err != nil {
				s.t.Error(err)
			}
		} else if exists == a.deleted {
			s.t.Errorf("account %s: listed %t, deleted %t", a.email, exists, a.deleted)
		}
	}
	for _, u := range shown {
		s.t.Errorf("an account that nobody made: %+v", u)
	}
}

// checkEvents compares the events, all of which have been published, with what is known. It
// returns how many arrived more than once.
func (s *stage) checkEvents() (duplicates int) {
	s.t.Helper()
	events := s.ledger.read()
	wrong := compare(events, s.traffic.accounts, s.traffic.domain)
	for _, w := range wrong[:min(len(wrong), 10)] {
		s.t.Error(w)
	}
	if more := len(wrong) - 10; more > 0 {
		s.t.Errorf("… and %d more", more)
	}
	mine, kinds := s.mine(events), make(map[string]int)
	once := withoutDuplicates(mine)
	for _, e := range once {
		kinds[e.Type]++
	}
	duplicates = len(mine) - len(once)
	s.say("%d accounts, %d requests settled and %d in trouble; events %v and %d duplicates",
		len(s.traffic.accounts), s.traffic.settled.Load(), s.traffic.troubles.Load(), kinds, duplicates)
	return duplicates
}

// mine returns the events about accounts of this test.
func (s *stage) mine(events []cloudEvent) []cloudEvent {
	known := make(map[string]bool)
	for _, a := range s.traffic.accounts {
		known[a.id] = true
	}
	var all []cloudEvent
	for _, e := range events {
		if known[e.Subject] {
			all = append(all, e)
		}
	}
	return all
}

package chaos_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"user-service/internal/testkit"
	"user-service/test/chaos/history"
)

// sampleTime is the interval between reads of the outbox.
const sampleTime = 250 * time.Millisecond

// sample records the content of the outbox until ctx ends. A failed read, such as one that waits for a lock, records nothing.
func (r *rig) sample(ctx context.Context) {
	for testkit.Pause(ctx, sampleTime) {
		looking, cancel := context.WithTimeout(ctx, sampleTime)
		s := history.Sample{At: r.now()}
		err := r.admin(looking, func(conn *pgx.Conn) error {
			rows, err := conn.Query(looking, `SELECT traceparent FROM outbox`)
			if err != nil {
				return err
			}
			s.Ops, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (int, error) {
				traceparent, err := pgx.RowTo[string](row)
				return opOf(traceparent), err
			})
			return err
		})
		cancel()
		if err == nil {
			r.mu.Lock()
			r.samples = append(r.samples, s)
			r.mu.Unlock()
		}
	}
}

const (
	tick    = 20 * time.Millisecond
	tooLate = 300 * time.Millisecond // a longer delay shows that the machine is too busy to measure
)

// watchMachine records, until ctx ends, when the machine gives the test no CPU time.
func (r *rig) watchMachine(ctx context.Context) {
	for {
		before := r.now()
		if !testkit.Pause(ctx, tick) {
			return
		}
		r.noteBusy(before, r.now()-before-tick, "its processor")
	}
}

// watchDisk records, until ctx ends, when a write to the disk is slow, because each commit of PostgreSQL also writes to the disk.
func (r *rig) watchDisk(ctx context.Context) {
	f, err := os.CreateTemp("", "user-service-chaos-disk-")
	if err != nil {
		r.t.Errorf("watch the disk: %v", err)
		return
	}
	defer func() { _ = os.Remove(f.Name()) }()
	defer func() { _ = f.Close() }()
	for testkit.Pause(ctx, 10*tick) {
		before := r.now()
		if _, err := f.WriteAt([]byte{byte(before)}, 0); err != nil {
			r.t.Errorf("watch the disk: %v", err)
			return
		}
		if err := f.Sync(); err != nil {
			r.t.Errorf("watch the disk: %v", err)
			return
		}
		r.noteBusy(before, r.now()-before, "its disk")
	}
}

// noteBusy records a delay as a fault of the machine.
func (r *rig) noteBusy(since, late time.Duration, what string) {
	if late > tooLate {
		f := history.Fault{
			Kind: "busy machine", Detail: fmt.Sprintf("%s %s late", what, late.Round(time.Millisecond)), Replica: history.Everywhere,
			Start: since, End: r.now(), Database: true, Slow: true,
		}
		r.end(r.begin(f), f)
	}
}

// final reads the state of the database.
func (r *rig) final(ctx context.Context) (f history.Final, err error) {
	err = r.admin(ctx, func(conn *pgx.Conn) (err error) {
		if f.Users, err = query(ctx, conn, `
			SELECT id::text, email, email_verified, coalesce(name, ''), coalesce(locale, ''),
				ARRAY(SELECT role FROM user_roles WHERE user_id = u.id ORDER BY role COLLATE "C"), status, version, updated_at
			FROM users u`, func(row pgx.CollectableRow) (u history.User, err error) {
			var updated time.Time
			err = row.Scan(&u.ID, &u.Email, &u.Verified, &u.Name, &u.Locale, &u.Roles, &u.Status, &u.Version, &updated)
			u.UpdatedAt = updated.UTC().Format(time.RFC3339Nano)
			return u, err
		}); err != nil {
			return err
		}
		if f.Sessions, err = query(ctx, conn, `SELECT id::text, user_id::text, counter FROM sessions`,
			func(row pgx.CollectableRow) (s history.Session, err error) {
				return s, row.Scan(&s.ID, &s.User, &s.Counter)
			}); err != nil {
			return err
		}
		if f.Audit, err = query(ctx, conn, `SELECT action, coalesce(user_id::text, ''), coalesce(request_id, '') FROM audit_events`,
			func(row pgx.CollectableRow) (e history.Entry, err error) {
				var request string
				err = row.Scan(&e.Action, &e.User, &request)
				e.Op = opOfRequest(request)
				return e, err
			}); err != nil {
			return err
		}
		return conn.QueryRow(ctx, `SELECT count(*) FROM outbox`).Scan(&f.Outbox)
	})
	return f, err
}

func query[T any](ctx context.Context, conn *pgx.Conn, sql string, read func(pgx.CollectableRow) (T, error)) ([]T, error) {
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, read)
}

// waiting returns the number of events in the outbox, or -1 after an error.
func (r *rig) waiting(ctx context.Context) (n int) {
	if r.sqlValue(ctx, `SELECT count(*) FROM outbox`, &n) != nil {
		return -1
	}
	return n
}

// An idle replica has at most these numbers of goroutines and descriptors. Its connections to the database and to the broker, its hashing
// process and its ports need some of them.
const (
	idleGoroutines  = 45
	idleDescriptors = 45
)

var goroutines = regexp.MustCompile(`(?m)^go_goroutines (\d+)`)

// checkLeaks waits until each replica has no more goroutines and descriptors than an idle one needs.
func (r *rig) checkLeaks(ctx context.Context) {
	for i, replica := range r.replicas {
		var running, open int
		if !testkit.Await(ctx, 20*time.Second, func() bool {
			running, open = replica.goroutines(), replica.descriptors()
			return running > 0 && running <= idleGoroutines && open <= idleDescriptors
		}) {
			r.violate(history.Violation{
				Rule: "leaks", At: r.now(),
				Text: fmt.Sprintf("replica %d has %d goroutines and %d descriptors without clients", i, running, open),
			})
		}
		r.say("replica %d has %d goroutines and %d descriptors", i, running, open)
	}
}

// goroutines returns the number of goroutines in the replica's metrics, or 0 without a response.
func (s *service) goroutines() int {
	resp, err := probes.Get(s.metrics + "/metrics")
	if err != nil {
		return 0
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body) // a truncated response has no figure
	n := 0
	if found := goroutines.FindSubmatch(body); found != nil {
		n, _ = strconv.Atoi(string(found[1]))
	}
	return n
}

// descriptors returns the number of open descriptors of the process.
func (s *service) descriptors() int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	return len(entries)
}

// makeAdmin creates the administrator with the command line, and the roles that clients assign.
func (r *rig) makeAdmin() {
	r.t.Helper()
	const email, password = "admin@example.com", "seven green kettles sing"
	env := settings{"DATABASE_URL": r.primary.as("app").String(), "ARGON2_MEMORY_KIB": "64", "ARGON2_ITERATIONS": "1"}
	id := runProgram(r.t, r.program, env, password,
		"users", "create", "--email", email, "--name", "Admin", "--role", "admin", "--password-stdin")
	id = strings.TrimSpace(id)
	r.given[id] = true
	c := r.newClient(clientCount)
	admin := &person{id: id, email: email, passwords: []string{password}}
	testkit.WaitFor(r.t, "the administrator to log in", func() bool { return c.token(admin) != "" })
	r.adminToken = admin.tokens.Access
	for _, role := range []string{"reader", "writer"} {
		o, _ := c.send(history.Op{Kind: "role"}, call{
			method: "PUT", path: "/roles/" + role, token: r.adminToken, body: map[string]any{"permissions": []string{}},
		})
		if o.Outcome != history.Accepted {
			r.t.Fatalf("create the role %s: %s", role, o)
		}
	}
}

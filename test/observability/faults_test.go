//go:build alerts || draw

package observability_test

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"user-service/internal/testkit"
	"user-service/pkg/event"
	"user-service/pkg/factor"
)

// ordinary sends the requests of a user who makes no mistake.
func ordinary(s *stage) func() {
	return func() {
		account := map[string]any{"email": rand.Text() + "@example.com", "password": password}
		_, _, _ = s.try(http.MethodPost, "/register", "", account)
		if _, pair, err := s.try(http.MethodPost, "/login", "", account); err == nil && pair["access_token"] != nil {
			access, _ := pair["access_token"].(string)
			_, _, _ = s.try(http.MethodPost, "/refresh", "", map[string]any{"refresh_token": pair["refresh_token"]})
			_, _, _ = s.try(http.MethodGet, "/users/me", access, nil)
			_, _, _ = s.try(http.MethodDelete, "/users/me", access, nil)
		}
		testkit.Pause(context.Background(), 300*time.Millisecond)
	}
}

// enter creates an account, and returns its email and an access token.
func (s *stage) enter() (email, access string) {
	email = strings.ToLower(rand.Text()) + "@example.com"
	account := map[string]any{"email": email, "password": password}
	s.call(http.MethodPost, "/register", "", account)
	_, pair := s.call(http.MethodPost, "/login", "", account)
	access, _ = pair["access_token"].(string)
	return email, access
}

func read(s *stage) func() {
	_, access := s.enter()
	return func() { _, _, _ = s.try(http.MethodGet, "/users/me", access, nil) }
}

// readAndSometimesChange returns a function that sends reads. Every 220th request (0.45 %) is a change instead.
func readAndSometimesChange(s *stage) func() {
	reads := read(s)
	email, access := s.enter()
	s.query(`CREATE TABLE unlucky AS SELECT id FROM users WHERE lower(email) = $1`, email)
	var times atomic.Int64
	return func() {
		if times.Add(1)%220 == 0 {
			_, _, _ = s.try(http.MethodPatch, "/users/me", access, map[string]any{"name": rand.Text()})
			return
		}
		reads()
	}
}

// query runs SQL in a separate session.
func (s *stage) query(sql string, args ...any) {
	conn := s.session()
	defer func() { _ = conn.Close(s.t.Context()) }()
	if _, err := conn.Exec(s.t.Context(), sql, args...); err != nil {
		s.t.Errorf("%s: %v", sql, err)
	}
}

func (s *stage) session() *pgx.Conn {
	conn, err := pgx.Connect(s.t.Context(), s.dsn)
	if err != nil {
		s.t.Fatal(err)
	}
	return conn
}

// hold keeps the locks of the SQL until the session is terminated as the runbooks describe.
func (s *stage) hold(sql string) (end func()) {
	conn := s.session()
	for _, text := range []string{"BEGIN", sql} {
		if _, err := conn.Exec(s.t.Context(), text); err != nil {
			s.t.Errorf("%s: %v", text, err)
		}
	}
	return func() {
		s.query(`
			SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND state = 'idle in transaction' AND pid = $1`, conn.PgConn().PID())
	}
}

func shutBroker(now *situation) func() {
	now.pods[0].broker.set(true)
	return func() { now.pods[0].broker.set(false) }
}

func holdRelay(now *situation) func() {
	return now.pods[0].hold(`SELECT pg_advisory_xact_lock(x'757365725f6f7574'::bigint)`)
}

// parkEvent stores an event in the state that it has after 20 refusals. The returned function ends the fault as the command events
// retry does.
func parkEvent(now *situation) func() {
	email, _ := now.pods[0].enter()
	now.pods[0].query(`
		INSERT INTO outbox (event_id, type, subject, sequence, occurred_at, data, refusals, retry_at, parked_at)
		SELECT gen_random_uuid(), 'user.updated', id, version, now(), '{}', 20, now() + interval '1 hour', now() FROM users
		WHERE lower(email) = $1`, email)
	return func() { now.pods[0].query(`UPDATE outbox SET retry_at = now() WHERE parked_at IS NOT NULL`) }
}

func guess(now *situation) func() {
	return now.pods[0].keep(2, func() {
		login := map[string]any{"email": rand.Text() + "@example.com", "password": "not " + password}
		_, _, _ = now.pods[0].try(http.MethodPost, "/login", "", login)
	})
}

// resetUnrouted requests resets, which no queue gets until the returned function binds one.
func resetUnrouted(now *situation) func() {
	email, _ := now.pods[0].enter()
	stop := now.pods[0].keep(1, func() {
		_, _, _ = now.pods[0].try(http.MethodPost, "/password-reset", "", map[string]any{"email": email})
		testkit.Pause(context.Background(), time.Second)
	})
	return func() { stop(); now.bind(event.PasswordResetRequested) }
}

func flood(now *situation) func() {
	return now.pods[0].keep(4, func() {
		login := map[string]any{"email": rand.Text() + "@example.com", "password": "not " + password}
		_, _, _ = now.pods[0].try(http.MethodPost, "/login", "", login)
		testkit.Pause(context.Background(), 100*time.Millisecond)
	})
}

// reuse presents the first token of sessions that have been refreshed twice.
func reuse(now *situation) func() {
	s := now.pods[0]
	email, _ := s.enter()
	return s.keep(1, func() {
		_, pair, _ := s.try(http.MethodPost, "/login", "", map[string]any{"email": email, "password": password})
		first := map[string]any{"refresh_token": pair["refresh_token"]}
		_, pair, _ = s.try(http.MethodPost, "/refresh", "", first)
		_, _, _ = s.try(http.MethodPost, "/refresh", "", map[string]any{"refresh_token": pair["refresh_token"]})
		_, _, _ = s.try(http.MethodPost, "/refresh", "", first)
		testkit.Pause(context.Background(), 300*time.Millisecond)
	})
}

// removeFactors removes the factors that users add again and again, as an administrator.
func removeFactors(now *situation) func() {
	s := now.pods[0]
	_, owner := s.enter()
	email, _ := s.enter()
	s.query(`INSERT INTO user_roles (user_id, role) SELECT id, 'admin' FROM users WHERE lower(email) = $1`, email)
	_, pair, _ := s.try(http.MethodPost, "/login", "", map[string]any{"email": email, "password": password})
	admin, _ := pair["access_token"].(string)
	_, me, _ := s.try(http.MethodGet, "/users/me", owner, nil)
	return s.keep(1, func() {
		_, added, _ := s.try(http.MethodPost, "/users/me/factors", owner, map[string]any{"type": "totp", "current_password": password})
		text, _ := added["secret"].(string)
		secret, _ := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(text)
		code, _ := factor.TOTPCode(secret, time.Now())
		_, _, _ = s.try(http.MethodPost, fmt.Sprintf("/users/me/factors/%v/confirm", added["id"]), owner, map[string]any{"code": code})
		_, _, _ = s.try(http.MethodDelete, fmt.Sprintf("/users/%v/factors/%v", me["id"], added["id"]), admin, nil)
		testkit.Pause(context.Background(), 300*time.Millisecond)
	})
}

// refuseDeletion makes PostgreSQL refuse to delete rows of a table that only the cleanup changes.
func refuseDeletion(now *situation) func() {
	now.pods[0].query(`
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$`)
	now.pods[0].query(`CREATE TRIGGER refuse BEFORE DELETE ON mails_sent FOR EACH STATEMENT EXECUTE FUNCTION refuse()`)
	return func() { now.pods[0].query(`DROP TRIGGER refuse ON mails_sent`) }
}

// ageCertificate replaces the CA with a CA that expires soon. The returned function renews it.
func ageCertificate(now *situation) func() {
	writeCA(now.pods[0].t, now.pods[0].ca, 3*24*time.Hour)
	return func() { writeCA(now.pods[0].t, now.pods[0].ca, year) }
}

func storm(now *situation) func() {
	return now.pods[0].keep(12, func() {
		_, _, _ = now.pods[0].try(http.MethodPost, "/login", "",
			map[string]any{"email": rand.Text() + "@example.com", "password": password})
	})
}

func lockTable(now *situation) func() {
	return now.pods[0].hold(`LOCK TABLE users IN ACCESS EXCLUSIVE MODE`)
}

func lockRow(now *situation) func() {
	return now.pods[0].hold(`SELECT FROM users WHERE id = (SELECT id FROM unlucky) FOR UPDATE`)
}

func migrateLate(now *situation) func() {
	migrate := func(way string) {
		command := exec.Command(program, "migrate", way)
		command.Env = now.pods[0].env
		if out, err := command.CombinedOutput(); err != nil {
			now.pods[0].t.Errorf("migrate %s: %v: %s", way, err, out)
		}
	}
	migrate("down")
	return func() { migrate("up") }
}

// kill ends the last pod.
func kill(now *situation) func() {
	last := now.pods[len(now.pods)-1]
	last.kill()
	return last.again
}

func (s *stage) kill() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

// again restarts the killed process.
func (s *stage) again() {
	s.serve("HTTP_ADDR="+strings.TrimPrefix(s.api, "http://"), "METRICS_ADDR="+s.metrics)
}

func killAgain(now *situation) func() {
	ctx, cancel := context.WithCancel(context.Background())
	var killing sync.WaitGroup
	killing.Go(func() {
		for testkit.Pause(ctx, 6*time.Second) {
			now.pods[0].kill()
			now.pods[0].again()
		}
	})
	return func() { cancel(); killing.Wait() }
}

const (
	firstSecret  = "the first secret of a service that is tested"
	secondSecret = "the second secret of a service that is tested"
)

func (now *situation) write(t *testing.T, name, content string) {
	if err := os.WriteFile(filepath.Join(now.secrets, name), []byte(content), 0o600); err != nil {
		t.Error(err)
	}
}

// ageKey makes the key 340 days old. The returned function ends the fault as the runbook describes.
func ageKey(now *situation) func() {
	s := now.pods[0]
	s.query(`UPDATE token_keys SET first_used_at = now() - interval '340 days'`)
	return func() {
		now.write(s.t, "accepted", secondSecret)
		s.await("a key that is accepted", func() bool { return s.shows(`user_service_token_key_since_timestamp_seconds{`, `use="accept"`) })
		now.write(s.t, "accepted", firstSecret)
		now.write(s.t, "secret", secondSecret)
	}
}

// shows reports whether a line of the metrics has a prefix and contains a part.
func (s *stage) shows(begin, part string) bool {
	for line := range strings.Lines(s.exposition()) {
		if strings.HasPrefix(line, begin) && strings.Contains(line, part) {
			return true
		}
	}
	return false
}

func spoilSecret(now *situation) func() {
	now.write(now.pods[0].t, "secret", "too short")
	return func() { now.write(now.pods[0].t, "secret", firstSecret) }
}

// shutDatabase makes the database unavailable for the only pod, so that no endpoint is left.
func shutDatabase(now *situation) func() {
	now.pods[0].database.set(true)
	return func() { now.pods[0].database.set(false) }
}

func shutDatabaseOfLast(now *situation) func() {
	last := now.pods[len(now.pods)-1]
	last.database.set(true)
	return func() { last.database.set(false) }
}

// slowDatabase delays each query. The delay is short enough that the readiness checks succeed within their time of one second.
func slowDatabase(now *situation) func() {
	now.pods[0].database.slow(150 * time.Millisecond)
	return func() { now.pods[0].database.slow(0) }
}

package main

import (
	"context"
	"encoding/json"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"user-service/internal/testkit"

	"github.com/jackc/pgx/v5"
)

const someUsers = `
	INSERT INTO users (id, email, email_key, status, version, created_at, updated_at)
	SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, n || '@example.com', n || '@example.com',
		'active', 1, now(), now() - n * interval '1 hour'
	FROM generate_series(1, $1::int) n`

func events(ctx context.Context, env []string, args ...string) (cmd *exec.Cmd, out *testkit.Buffer) {
	out = &testkit.Buffer{}
	cmd = exec.CommandContext(ctx, "user-service", append([]string{"events"}, args...)...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, out, out
	return cmd, out
}

func mustExec(t *testing.T, db *pgx.Conn, query string, args ...any) {
	t.Helper()
	if _, err := db.Exec(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

// parkedLine is the line of an event with 620 refusals.
var parkedLine = regexp.MustCompile(`(?m)^00000000-0000-4000-8000-000000000620 +user\.updated +\S+ +2026-01-31T12:00:00Z +` +
	`\S+Z +620 +\S+Z +0 +refused by the broker$`)

// TestAReplayWaitsForTheRelayAndContinues runs a replay without a relay, so that the replay waits for the test to empty the outbox. It
// interrupts the replay, and continues it in a second process.
func TestAReplayWaitsForTheRelayAndContinues(t *testing.T) {
	t.Parallel()
	env, db := migrated(t)
	mustExec(t, db, someUsers, 2500)
	mustExec(t, db, `CREATE TABLE published AS SELECT subject, id FROM outbox`)
	publish := func() { // like the relay
		mustExec(t, db, `WITH gone AS (DELETE FROM outbox RETURNING subject, id) INSERT INTO published SELECT * FROM gone`)
	}
	replay, out := events(t.Context(), env, "replay", "--rate", "0")
	if err := replay.Start(); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1000, 1000} {
		if !testkit.Await(context.Background(), patience, func() bool {
			return number(t, db, `SELECT count(*) FROM outbox`) == size && strings.Contains(out.String(), "waiting")
		}) {
			t.Fatalf("%d events wait, want %d: %s", number(t, db, `SELECT count(*) FROM outbox`), size, out)
		}
		publish()
	}
	if !testkit.Await(context.Background(), patience, func() bool { return number(t, db, `SELECT count(*) FROM outbox`) > 0 }) {
		t.Fatal("the replay does not continue")
	}
	if err := replay.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = replay.Wait()
	after := regexp.MustCompile(`continue with --after (\S+)`).FindStringSubmatch(out.String())
	if after == nil && !strings.Contains(out.String(), "announced 2500 users") { // unless it was already finished
		t.Fatalf("the output has no command to continue: %s", out)
	}
	if after != nil {
		again, out := events(t.Context(), env, "replay", "--after", after[1])
		if err := again.Run(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	publish()
	n, all := number(t, db, `SELECT count(DISTINCT subject) FROM published`), number(t, db, `SELECT count(*) FROM published`)
	const batch = 100 // users; the signal may interrupt a commit, and then the batch is announced again
	if n != 2500 || all != n && all != n+batch {
		t.Errorf("%d users were announced by %d events, want all 2500 users, and at most one batch twice", n, all)
	}
}

func TestAReplayReportsWhereToContinueAfterADatabaseFailure(t *testing.T) {
	t.Parallel()
	env, db := migrated(t)
	mustExec(t, db, someUsers, 1100)
	replay, out := events(t.Context(), env, "replay", "--rate", "0")
	if err := replay.Start(); err != nil {
		t.Fatal(err)
	}
	if !testkit.Await(context.Background(), patience, func() bool { return strings.Contains(out.String(), "waiting") }) {
		t.Fatalf("the replay does not wait: %s", out)
	}
	mustExec(t, db, `ALTER TABLE outbox RENAME TO away`)
	if err := replay.Wait(); err == nil {
		t.Error("the replay succeeds without the database")
	}
	if !strings.Contains(out.String(), "1000 are announced, continue with --after 00000000-0000-7000-8000-0000000003e8\n") {
		t.Error(out)
	}
}

func TestAReplayHasARateAndSelectsUsers(t *testing.T) {
	t.Parallel()
	env, db := migrated(t)
	mustExec(t, db, someUsers, 300)
	for _, test := range []struct {
		args  []string
		users int
		least time.Duration
	}{
		{[]string{"--rate", "200"}, 300, time.Second},
		{[]string{"--since", "10h30m"}, 10, 0},
		{[]string{"--user", "7@example.com"}, 1, 0},
		{[]string{"--user", "00000000-0000-7000-8000-000000000007"}, 1, 0},
		{[]string{"--user", "7@example.com", "--since", "1h"}, 0, 0},
		{[]string{"--after", "00000000-0000-7000-8000-000000000100"}, 300 - 256, 0},
	} {
		mustExec(t, db, `DELETE FROM outbox`)
		began := time.Now()
		cmd, out := events(t.Context(), env, append([]string{"replay"}, test.args...)...)
		if err := cmd.Run(); err != nil {
			t.Errorf("%v: %v: %s", test.args, err, out)
		}
		if n := number(t, db, `SELECT count(DISTINCT subject) FROM outbox WHERE type = 'user.snapshot'`); n != test.users {
			t.Errorf("%v: %d users were announced, want %d", test.args, n, test.users)
		}
		if took := time.Since(began); took < test.least {
			t.Errorf("%v took %s, want at least %s", test.args, took, test.least)
		}
	}
}

func TestParkedEventsAreListedAndRetried(t *testing.T) {
	t.Parallel()
	env, db := migrated(t)
	mustExec(t, db, `
		INSERT INTO outbox (event_id, type, subject, sequence, occurred_at, data, refusals, retry_at, parked_at, refusal)
		SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid,
			'user.updated', gen_random_uuid(), 1, '2026-01-31T12:00:00Z', '{"secret":1}',
			n, now() + interval '5 min', CASE WHEN n >= 20 THEN now() END, 'refused by the broker'
		FROM generate_series(1, 620) n`)
	cmd, out := events(t.Context(), env, "parked", "-o", "json")
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var list []map[string]any
	if err := json.Unmarshal([]byte(out.String()), &list); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(list) != 601 || list[0]["id"] != "00000000-0000-4000-8000-000000000020" || list[0]["refusals"] != 20.0 ||
		list[0]["reason"] != "refused by the broker" || list[0]["time"] != "2026-01-31T12:00:00Z" ||
		strings.Contains(out.String(), "secret") {
		t.Errorf("%d parked events are listed, the first is %v; want 601, the first with id …020, 20 refusals and no data", len(list),
			list[0])
	}
	cmd, out = events(t.Context(), env, "parked")
	if err := cmd.Run(); err != nil || strings.Count(out.String(), "\n") != 602 ||
		!parkedLine.MatchString(out.String()) {
		t.Errorf("%v: %s", err, out)
	}
	cmd, out = events(t.Context(), env, "retry")
	if err := cmd.Run(); err != nil || out.String() != "620 events will be retried\n" {
		t.Errorf("%v: %s", err, out)
	}
	if n := number(t, db, `SELECT count(*) FROM outbox WHERE retry_at > now()`); n != 0 {
		t.Errorf("%d events are not due after the retry, want none", n)
	}
}

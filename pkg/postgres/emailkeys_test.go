package postgres_test

import (
	"bytes"
	"crypto/sha256"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"user-service/internal/testkit"
	"user-service/pkg/postgres"
	"user-service/pkg/postgres/postgrestest"
)

// olderAccounts are accounts with keys as an earlier version computed them, with full case folding after NFC and with unconverted
// domains. The first account is the oldest.
var olderAccounts = []struct{ email, key, name, nameKey string }{
	{"user@bücher.example", "user@bücher.example", "", ""},               // 0
	{"user@xn--bcher-kva.example", "user@xn--bcher-kva.example", "", ""}, // 1: equal to 0
	{"ada@xn--mller-kva.example", "ada@xn--mller-kva.example", "", ""},   // 2
	{"ada@müller.example", "ada@müller.example", "", ""},                 // 3: equal to 2
	{"info@straße.example", "info@strasse.example", "Straße", "strasse"}, // 4
	{"t\u13a0@example.com", "t\uab70@example.com", "", ""},               // 5
	{"t\uab70@example.com", "t\u13a0@example.com", "", ""},               // 6: equal to 5
	{"solo@xn--mller-kva.example", "solo@xn--mller-kva.example", "", ""}, // 7
	{"Plain@Example.com", "plain@example.com", "Ada", "ada"},             // 8
	{"zoë@example.com", "zoë@example.com", "Zoë", "zoë"},                 // 9
}

// downTo rolls migrations back until the schema has the version.
func downTo(t *testing.T, m *postgres.Migrator, dsn string, version int64) {
	t.Helper()
	db := postgrestest.Connect(t, dsn, nil)
	for {
		at, err := db.SchemaVersion(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if at <= version {
			return
		}
		if _, err := m.Down(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEmailKeysAreRecomputed(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Empty(t)
	var migrated testkit.Buffer
	m := newLoggedMigrator(t, dsn, slog.New(slog.NewTextHandler(&migrated, nil)))
	up(t, m)
	downTo(t, m, dsn, 12)
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	ids := make([]string, len(olderAccounts))
	for i, a := range olderAccounts {
		if err := conn.QueryRow(t.Context(), `
			INSERT INTO users (id, email, email_key, name, name_key, status, version, created_at, updated_at)
			VALUES (gen_random_uuid(), $1, $2, nullif($3, ''), nullif($4, ''), 'active', 1, now() - make_interval(days => $5), now())
			RETURNING id::text`,
			a.email, a.key, a.name, a.nameKey, 100-i).Scan(&ids[i]); err != nil {
			t.Fatal(err)
		}
	}
	sum := sha256.Sum256([]byte("info@strasse.example"))
	execute(t, dsn, `INSERT INTO one_time_tokens (token_hash, purpose, user_id, email_key, created_at, expires_at)
		SELECT '\x01', 'password_reset', id, email_key, now(), now() + interval '1 hour' FROM users
			WHERE email_key = 'info@strasse.example'`)
	if _, err := conn.Exec(t.Context(), `INSERT INTO login_failures VALUES ($1, 70, now(), now())`, sum[:]); err != nil {
		t.Fatal(err)
	}
	const blocked = `INSERT INTO password_failures VALUES ($1, '203.0.113.0/24', 7, now(), now() + interval '1 hour')`
	if _, err := conn.Exec(t.Context(), blocked, sum[:]); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}

	want := []string{
		"user@bücher.example", "user@xn--bcher-kva.example", "ada@müller.example", "ada@müller.example " + ids[3],
		"info@straße.example straße", "t\uab70@example.com", "t\u13a0@example.com", "solo@müller.example", "plain@example.com ada",
		"zoë@example.com zoë",
	}
	var got []string
	for _, id := range ids {
		var key string
		row := conn.QueryRow(t.Context(), `SELECT concat_ws(' ', email_key, name_key) FROM users WHERE id = $1`, id)
		if err := row.Scan(&key); err != nil {
			t.Fatal(err)
		}
		got = append(got, key)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the keys (-want +got):\n%s", diff)
	}
	var token string
	var failures, all int
	newSum := sha256.Sum256([]byte("info@straße.example"))
	err = conn.QueryRow(t.Context(), `SELECT (SELECT email_key FROM one_time_tokens),
		(SELECT failures FROM password_failures WHERE subject_hash = $1),
		(SELECT failures FROM login_failures WHERE email_hash = $1)`, newSum[:]).Scan(&token, &failures, &all)
	if err != nil || all != 70 || token != "info@straße.example" || failures != 7 {
		t.Errorf("the token has the key %q, and %d and %d failures are counted (%v), want info@straße.example, 7 and 70",
			token, failures, all, err)
	}

	db := postgrestest.Connect(t, dsn, nil)
	logged := func() string {
		var out bytes.Buffer
		if err := db.LogEmailCollisions(t.Context(), slog.New(slog.NewTextHandler(&out, nil))); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	for name, log := range map[string]string{"the migration": migrated.String(), "the service": logged()} {
		for _, pair := range [][2]int{{1, 0}, {3, 2}, {6, 5}} {
			if !strings.Contains(log, "user_id="+ids[pair[0]]+" holder_id="+ids[pair[1]]) {
				t.Errorf("%s does not log the collision of account %d with account %d:\n%s", name, pair[0], pair[1], log)
			}
		}
		if strings.Count(log, "holder_id") != 3 || strings.Contains(log, "@") {
			t.Errorf("%s: want 3 collisions and no email in the log:\n%s", name, log)
		}
	}
	const changeEmail = `UPDATE users SET email = 'b@example.com', email_key = 'b@example.com' WHERE id = $1`
	if _, err := conn.Exec(t.Context(), changeEmail, ids[1]); err != nil {
		t.Fatal(err)
	}
	logged()
	if log := logged(); strings.Count(log, "holder_id") != 2 {
		t.Errorf("after a change of one email, want 2 collisions in the log:\n%s", log)
	}
}

// TestAVerifiedAccountKeepsTheEmail recomputes the keys of two accounts with the same email. The account with the verified email must get
// the key, although the other account is older. A replica of an earlier version may store such accounts after the migration.
func TestAVerifiedAccountKeepsTheEmail(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db := postgrestest.Connect(t, dsn, nil)
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	store := func(email, key string, verified bool, days int) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), `
			INSERT INTO users (id, email, email_key, email_verified, status, version, created_at, updated_at)
			VALUES (gen_random_uuid(), $1, $2, $3, 'active', 1, now() - make_interval(days => $4), now())`, email, key,
			verified, days); err != nil {
			t.Fatal(err)
		}
	}
	store("victim@bücher.example", "victim@bücher.example", false, 9) // already has the current key
	store("victim@xn--bcher-kva.example", "victim@xn--bcher-kva.example", true, 1)
	store("info@straße.example", "info@strasse.example", false, 1)
	if err := db.RekeyEmails(t.Context(), time.Now().Add(-time.Hour), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"victim@bücher.example": "victim@xn--bcher-kva.example", "info@straße.example": "info@straße.example",
	} {
		var email string
		if err := conn.QueryRow(t.Context(), `SELECT email FROM users WHERE email_key = $1`,
			key).Scan(&email); err != nil || email != want {
			t.Errorf("the account with the key %s has the email %q (%v), want %q", key, email, err, want)
		}
	}
}

// TestAnErasedAccountKeepsNoEmail recomputes the keys of two accounts with the same email. It erases the account with priority after the
// accounts were read. The remaining account must keep its key.
func TestAnErasedAccountKeepsNoEmail(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db := postgrestest.Connect(t, dsn, nil)
	conn, watch := connect(t, dsn), connect(t, dsn) // the transaction of conn would not see new waits in pg_stat_activity
	exec := func(statement string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	store := func(email string, days int) {
		t.Helper()
		exec(`INSERT INTO users (id, email, email_key, status, version, created_at, updated_at)
			VALUES (gen_random_uuid(), $1, $1, 'active', 1, now() - make_interval(days => $2), now())`, email, days)
	}
	store("first@xn--bcher-kva.example", 9)
	store("ada@xn--bcher-kva.example", 8)
	store("ada@bücher.example", 1) // already has the current key
	exec(`BEGIN`)
	exec(`SELECT FROM users WHERE email LIKE 'first@%' FOR UPDATE`)
	done := make(chan error, 1)
	go func() { done <- db.RekeyEmails(t.Context(), time.Now().Add(-time.Hour), slog.New(slog.DiscardHandler)) }()
	postgrestest.WaitForLock(t, watch) // RekeyEmails has read all accounts, and waits for the first one
	exec(`DELETE FROM users WHERE email = 'ada@xn--bcher-kva.example'`)
	exec(`COMMIT`)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	var key string
	err := conn.QueryRow(t.Context(), `SELECT email_key FROM users WHERE email = 'ada@bücher.example'`).Scan(&key)
	if err != nil || key != "ada@bücher.example" {
		t.Errorf("the key of the remaining account is %q (%v), want ada@bücher.example", key, err)
	}
}

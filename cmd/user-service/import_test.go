package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"user-service/internal/testkit"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// bcryptHash is a bcrypt hash. No test uses its password.
const bcryptHash = "$2b$04$w7c192cmA5L5qaA9XvbnFeBUMfGJw5Is5X0yWLQ0u5haxEk1fHM52"

// migrated returns the environment of a migrated database and a connection to it.
func migrated(t *testing.T) (env []string, db *pgx.Conn) {
	t.Helper()
	pairs := environment(t)
	for name, value := range pairs {
		env = append(env, name+"="+value)
	}
	migrate := exec.CommandContext(t.Context(), "user-service", "migrate", "up")
	migrate.Env = env
	if out, err := migrate.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return env, connect(t, pairs["DATABASE_URL"])
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	db, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close(t.Context()) })
	return db
}

// number returns the result of a count.
func number(t *testing.T, db *pgx.Conn, query string) (n int) {
	t.Helper()
	if err := db.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// imports runs users import, and returns its output and its exit code.
func imports(t *testing.T, env []string, in io.Reader, args ...string) (out string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "user-service", append([]string{"users", "import"}, args...)...)
	cmd.Env, cmd.Stdin = env, in
	both, _ := cmd.CombinedOutput()
	return string(both), cmd.ProcessState.ExitCode()
}

// lines returns JSON lines of accounts with these numbers.
func lines(from, to int) string {
	var all strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&all, `{"email":"user%d@example.com","password_hash":%q,"name":"User %d","roles":["user"]}`+"\n", i, bcryptHash, i)
	}
	return all.String()
}

func TestImportIsIdempotent(t *testing.T) {
	t.Parallel()
	env, db := migrated(t)
	file := filepath.Join(t.TempDir(), "accounts.jsonl")
	if err := os.WriteFile(file, []byte(lines(0, 2000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"created 2000, already there 0, refused 0\n", "created 0, already there 2000, refused 0\n"} {
		if out, code := imports(t, env, nil, file); out != want || code != 0 {
			t.Errorf("exit code %d, %q; want %q", code, out, want)
		}
		complete(t, db, 2000)
	}
	later := lines(1990, 2010) + lines(2009, 2011) // existing ones, new ones, and a duplicate
	if out, code := imports(t, env, strings.NewReader(later), "-"); out != "created 11, already there 11, refused 0\n" || code != 0 {
		t.Errorf("exit code %d, %q; want 0, 11 created and 11 already there", code, out)
	}
	complete(t, db, 2011)
}

// complete checks the number of accounts, and that each account has its hash, its role and its event.
func complete(t *testing.T, db *pgx.Conn, want int) {
	t.Helper()
	for _, query := range []string{
		`SELECT count(*) FROM users`,
		`SELECT count(*) FROM users JOIN credentials c ON c.user_id = id WHERE c.password_hash = '` + bcryptHash + `'`,
		`SELECT count(*) FROM users JOIN user_roles ON user_id = id WHERE role = 'user'`,
		`SELECT count(*) FROM outbox`,
		`SELECT count(*) FROM users u JOIN outbox o ON o.subject = u.id AND o.sequence = u.version
			WHERE o.type = 'user.created' AND o.data->'user'->>'id' = u.id::text AND o.data->'user'->>'email' = u.email
			AND (o.data->'user'->>'created_at')::timestamptz = u.created_at`,
	} {
		if got := number(t, db, query); got != want {
			t.Errorf("%d, want %d: %s", got, want, query)
		}
	}
	if shown := number(t, db, `SELECT count(*) FROM outbox WHERE data::text LIKE '%$2b$%'`); shown > 0 {
		t.Errorf("%d events contain a hash", shown)
	}
}

// TestAnImportThatIsKilledLeavesWholeBatches kills an import whose second transaction waits for a lock. Only the first batch must be
// stored, and a second import must add the rest.
func TestAnImportThatIsKilledLeavesWholeBatches(t *testing.T) {
	t.Parallel()
	env, db := migrated(t)
	var url string
	for _, pair := range env {
		if value, ok := strings.CutPrefix(pair, "DATABASE_URL="); ok {
			url = value
		}
	}
	other, err := connect(t, url).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec(t.Context(), `INSERT INTO users (id, email, email_key, status, version, created_at, updated_at)
		VALUES (gen_random_uuid(), 'user700@example.com', 'user700@example.com', 'active', 1, now(), now())`); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "user-service", "users", "import", "-")
	cmd.Env, cmd.Stdin = env, strings.NewReader(lines(0, 1200))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if !testkit.Await(context.Background(), patience, func() bool {
		return number(t, db, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) > 0
	}) {
		t.Fatal("the import does not wait for the lock")
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if err := other.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !testkit.Await(context.Background(), patience, func() bool {
		return number(t, db, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()`) <= 2
	}) {
		t.Fatal("the connection of the killed import stays open")
	}
	complete(t, db, 500)

	if out, code := imports(t, env, strings.NewReader(lines(0, 1200))); out != "created 700, already there 500, refused 0\n" || code != 0 {
		t.Errorf("exit code %d, %q; want 0, 700 created and 500 already there", code, out)
	}
	complete(t, db, 1200)
}

// TestAnImportThatIsInterruptedFails interrupts an import while its input is open. The command must report what it has imported, and fail.
func TestAnImportThatIsInterruptedFails(t *testing.T) {
	t.Parallel()
	env, db := migrated(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "user-service", "users", "import")
	var out bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &out, &out
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, lines(0, 750)); err != nil {
		t.Fatal(err)
	}
	if !testkit.Await(context.Background(), patience, func() bool { return number(t, db, `SELECT count(*) FROM users`) > 0 }) {
		t.Fatal("nothing is imported")
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	want := "created 500, already there 0, refused 0\nuser-service: interrupted: stopped before the end; " +
		"the accounts in the summary are imported, import the file again for the rest\n"
	if diff := cmp.Diff(want, out.String()); diff != "" || cmd.ProcessState.ExitCode() != exitFailed {
		t.Errorf("exit code %d (-want +got):\n%s", cmd.ProcessState.ExitCode(), diff)
	}
	complete(t, db, 500)
}

// TestImportedUsersLogIn imports hashes that other programs have computed. The first login must replace the hash, and the second login must
// succeed with the new hash.
func TestImportedUsersLogIn(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../pkg/password/testdata/foreign.json")
	if err != nil {
		t.Fatal(err)
	}
	type hash struct{ By, Format, Password, Hash string }
	var all []hash
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	all = slices.DeleteFunc(all, func(v hash) bool { // these are too slow under the race detector
		return strings.HasSuffix(v.Format, ", defaults")
	})
	var file bytes.Buffer
	for i, v := range all {
		fmt.Fprintf(&file, `{"email":"user%d@example.com","password_hash":%q}`+"\n", i, v.Hash)
	}
	service := startService(t, map[string]string{"RATE_LIMIT_PER_MINUTE": "0", "PASSWORD_HASH_QUEUE": "1000"})
	defer service.stop(t)
	if out, code := imports(t, service.cmd.Env, &file); code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	i := slices.IndexFunc(service.cmd.Env, func(pair string) bool { return strings.HasPrefix(pair, "DATABASE_URL=") })
	db := connect(t, strings.TrimPrefix(service.cmd.Env[i], "DATABASE_URL="))
	const upgraded = `SELECT count(*) FROM credentials WHERE password_hash LIKE '$argon2id$v=19$m=8,t=1,p=1$%'`
	for i, v := range all {
		email := fmt.Sprintf("user%d@example.com", i)
		if status := login(t, service.api, email, "x"+v.Password); status != http.StatusUnauthorized {
			t.Errorf("%s of %s: a wrong password gets %d, want 401", v.Format, v.By, status)
		}
		for range 2 {
			if status := login(t, service.api, email, v.Password); status != http.StatusOK {
				t.Errorf("%s of %s: the password %q gets %d, want 200", v.Format, v.By, v.Password, status)
			}
		}
		if got := number(t, db, upgraded); got != i+1 {
			t.Fatalf("%s of %s: %d hashes have the current parameters, want %d", v.Format, v.By, got, i+1)
		}
	}
}

// login retries while the service is busy, because some hashes are costly.
func login(t *testing.T, api, email, password string) (status int) {
	t.Helper()
	if !testkit.Await(context.Background(), patience, func() bool {
		status = loginOnce(t, api, email, password)
		return status != http.StatusServiceUnavailable
	}) {
		t.Fatalf("%s: every login gets 503", email)
	}
	return status
}

func loginOnce(t *testing.T, api, email, password string) (status int) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"email": email, "password": password})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(api+"/login", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	return resp.StatusCode
}

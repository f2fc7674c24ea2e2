package main

import (
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// trail returns the entries of the audit trail as "action actor actor_id ip detail", sorted.
func trail(t *testing.T, db *pgx.Conn, where string) []string {
	t.Helper()
	rows, err := db.Query(t.Context(), `SELECT concat_ws(' ', action, coalesce(actor, 'no actor'),
			coalesce(actor_id::text, 'no id'), host(ip), detail)
		FROM audit_events WHERE `+where)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(entries)
	return entries
}

// TestTheCommandLineIsTheActorOfItsChanges creates and imports accounts on the command line, and checks the audit entries. An account that
// already exists must not get an entry.
func TestTheCommandLineIsTheActorOfItsChanges(t *testing.T) {
	t.Parallel()
	env, db := migrated(t)
	for _, account := range [][]string{{"ada@example.com", "admin"}, {"ADA@example.com", "user"}} {
		create := exec.CommandContext(t.Context(), "user-service", "users", "create",
			"--email", account[0], "--role", account[1], "--password-stdin", "--if-absent")
		create.Env, create.Stdin = env, strings.NewReader(secrets["PASSWORD"])
		if out, err := create.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	file := `{"email":"bob@example.com","password_hash":"` + bcryptHash + `","status":"disabled","roles":["user","admin"]}` + "\n" +
		`{"email":"ada@example.com","password_hash":"` + bcryptHash + `"}` + "\n" +
		`{"email":"eve@example.com","password_hash":"` + bcryptHash + `"}` + "\n"
	if out, code := imports(t, env, strings.NewReader(file), "-"); code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	want := []string{
		`user_created cli no id {"roles": ["admin", "user"], "status": "disabled"}`,
		`user_created cli no id {"roles": ["admin"]}`,
		`user_created cli no id {"roles": ["user"]}`,
	}
	if diff := cmp.Diff(want, trail(t, db, "true")); diff != "" {
		t.Error(diff)
	}
}

// TestAShutdownRecordsPendingDenials stops a replica in the middle of a minute with 12 denied requests. The audit trail must have nine
// entries, and a last entry that counts the other denials.
func TestAShutdownRecordsPendingDenials(t *testing.T) {
	t.Parallel()
	env := replicaEnvironment(t)
	t.Run("a replica", func(t *testing.T) {
		r := startReplica(t, env, nil)
		var u struct{ ID string }
		var tokens pair
		credentials := map[string]string{"email": env["EMAIL"], "password": env["PASSWORD"]}
		r.must("POST", "/register", credentials, &u)
		r.must("POST", "/login", credentials, &tokens)
		for range 12 {
			body := map[string]any{"roles": []string{"admin"}}
			if status, err := r.call("PUT", "/users/me/roles", tokens.Access, body, nil); err != nil || status != http.StatusForbidden {
				t.Fatal(status, err)
			}
		}
	})
	entries := trail(t, connect(t, env["DATABASE_URL"]), "action = 'authz_fail' AND actor_id = user_id")
	if last := strings.Join(entries, "\n"); len(entries) != 10 ||
		strings.Count(last, `{"route": "PUT /users/{id}/roles"}`) != 9 || strings.Count(last, `"suppressed": 2`) != 1 {
		t.Errorf("%d entries, want 10, the last of which has 2 suppressed denials: %s", len(entries), last)
	}
}

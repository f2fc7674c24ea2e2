package postgres_test

import (
	"errors"
	"testing"

	"github.com/google/uuid"

	"user-service/internal/testkit"
	"user-service/pkg/factor"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/user"
)

// TestAPasskeyThatChangesItsUserDoesNotLogIn lets a login wait while a user removes a passkey, and another user adds one with the same id.
// The login must not use the other user's key for the first user's account.
func TestAPasskeyThatChangesItsUserDoesNotLogIn(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db, conn := postgrestest.Connect(t, dsn, nil), connect(t, dsn)
	victim, other := create(t, db, "ada@example.com"), create(t, db, "eve@example.com")
	const add = `INSERT INTO factors (id, user_id, type, name, credential_id, passkey, confirmed_at)
		VALUES (gen_random_uuid(), $1, 'passkey', 'Key', $2, '{}', now())`
	id := []byte("a credential")
	if _, err := conn.Exec(t.Context(), add, victim.ID, id); err != nil {
		t.Fatal(err)
	}
	_, hash := factor.NewChallenge()
	if err := db.AddPasskeyChallenge(t.Context(), hash); err != nil {
		t.Fatal(err)
	}

	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	run := func(sql string, args ...any) {
		t.Helper()
		if _, err := tx.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	run(`SELECT 1 FROM users WHERE id = $1 FOR UPDATE`, victim.ID)
	run(`DELETE FROM factors WHERE user_id = $1`, victim.ID)
	run(add, other.ID, id)

	refused := errors.New("refused")
	found := make(chan uuid.UUID, 1)
	go func() {
		_, _ = db.RecordPasskey(t.Context(), hash, id, user.Attempt{}, func(state user.PasskeyAttempt) (user.CodeDecision, error) {
			found <- state.UserID
			return user.CodeDecision{}, refused
		})
	}()
	watch := connect(t, dsn)
	if !testkit.Await(t.Context(), testkit.Timeout, func() (waits bool) {
		return watch.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
			AND wait_event_type = 'Lock')`).Scan(&waits) == nil && waits
	}) {
		t.Fatal("the login does not wait")
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-found; got == victim.ID { // another attempt, after the commit, finds the other user
		t.Error("the login finds the user who has removed the passkey")
	}
}

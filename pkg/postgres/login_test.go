package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/user"
)

// TestALoginThatIsDecidedAgain logs in a user who already has the maximum number of sessions. The first transaction ends the oldest
// session, then fails at a lock and is rolled back. The second transaction rejects the login because of a backoff. So no session may be
// ended.
func TestALoginThatIsDecidedAgain(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db, holder := postgrestest.Connect(t, dsn, nil), connect(t, dsn)
	u := create(t, db, "a@example.com")
	session(t, db, u)
	execute(t, dsn, fmt.Sprintf(`INSERT INTO sessions (id, user_id, counter, created_at, turned_at, expires_at, user_agent, ip)
		SELECT gen_random_uuid(), user_id, 0, now(), now(), expires_at, '', NULL FROM sessions, generate_series(2, %d)`, user.MaxSessions))
	cred, err := db.CredentialOf(t.Context(), u.ID)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := holder.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT 1 FROM login_networks FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	decisions := 0
	attempt := user.Attempt{Email: u.Email, Network: home}
	_, err = db.RecordAttempt(t.Context(), attempt, func(g user.LoginFailures) (user.LoginDecision, error) {
		if decisions++; decisions == 1 {
			s := user.Session{ID: uuid.New(), UserID: u.ID, CreatedAt: g.Now, RotatedAt: g.Now, ExpiresAt: g.Now.Add(time.Hour)}
			return user.LoginDecision{Success: true, Session: &s, PasswordAt: cred.ChangedAt}, nil
		}
		return user.LoginDecision{Audit: []user.Audit{{Action: user.LoginBlocked, UserID: u.ID}}}, tx.Rollback(t.Context())
	})
	if err != nil || decisions != 2 {
		t.Errorf("the login was decided %d times: %v, want twice without an error", decisions, err)
	}
	if sessions, err := db.Sessions(t.Context(), u.ID); err != nil || len(sessions) != user.MaxSessions {
		t.Errorf("%d sessions are left (%v), want all %d", len(sessions), err, user.MaxSessions)
	}
}

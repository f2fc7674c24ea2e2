package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"user-service/internal/testkit"
	"user-service/pkg/factor"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/user"
)

// TestPasskeyLoginsWaitWithoutAConnection starts many logins with one passkey, and holds the first one. The others must queue in the
// replica, so that another user can log in. When the queue is full, further logins are refused.
func TestPasskeyLoginsWaitWithoutAConnection(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db, conn := postgrestest.Connect(t, dsn, nil), connect(t, dsn)
	u, other := create(t, db, "a@example.com"), create(t, db, "b@example.com")
	credential := []byte("credential")
	if _, err := conn.Exec(t.Context(), `INSERT INTO factors (id, user_id, type, name, credential_id, passkey, confirmed_at)
		VALUES ($1, $2, 'passkey', 'Laptop', $3, '{}', now())`, uuid.Must(uuid.NewV7()), u.ID, credential); err != nil {
		t.Fatal(err)
	}
	hashes := make([]factor.ChallengeHash, 80)
	for i := range hashes {
		hashes[i] = factor.HashChallenge(fmt.Sprint(i))
		if err := db.AddPasskeyChallenge(t.Context(), hashes[i]); err != nil {
			t.Fatal(err)
		}
	}
	release := make(chan struct{})
	var done, refused atomic.Int64
	var logins sync.WaitGroup
	for _, hash := range hashes {
		logins.Go(func() {
			_, err := db.RecordPasskey(t.Context(), hash, credential, user.Attempt{Network: home},
				func(user.PasskeyAttempt) (decision user.CodeDecision, err error) {
					<-release
					decision.Audit = []user.Audit{{Action: user.LoginFailed, UserID: u.ID}}
					return decision, nil
				})
			var e *user.Error
			switch {
			case err == nil:
				done.Add(1)
			case errors.As(err, &e) && e.Code == user.TooManyRequests:
				refused.Add(1)
			}
		})
	}
	defer logins.Wait()
	free := sync.OnceFunc(func() { close(release) })
	defer free()
	testkit.WaitFor(t, "a refused login", func() bool { return refused.Load() > 0 })
	if err := request(t.Context(), func(ctx context.Context) error { return fail(ctx, db, other) }); err != nil {
		t.Errorf("another user can't log in: %v", err)
	}
	free()
	logins.Wait()
	if done.Load() == 0 || int(done.Load()+refused.Load()) != len(hashes) {
		t.Errorf("%d logins are done and %d are refused, want %d together", done.Load(), refused.Load(), len(hashes))
	}
}

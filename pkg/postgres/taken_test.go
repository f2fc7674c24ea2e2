package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"user-service/pkg/access"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/user"
)

// TestATakenEmailCausesNoServerError concurrently registers accounts and changes accounts with the same email. The server must not report
// a violated constraint, because its log would then contain the email.
func TestATakenEmailCausesNoServerError(t *testing.T) {
	t.Parallel()
	db := postgrestest.Open(t, nil)
	for round := range 20 {
		email := fmt.Sprintf("Wanted-%d@example.com", round)
		var users []user.User
		for i := range 3 {
			users = append(users, create(t, db, fmt.Sprintf("%d-%d@example.com", round, i)))
		}
		var taken, got atomic.Int32
		var wg sync.WaitGroup
		try := func(store func() error) {
			wg.Go(func() {
				var server *pgconn.PgError
				switch err := store(); {
				case err == nil:
					got.Add(1)
				case errors.As(err, &server):
					t.Errorf("the server reports %v (%s), want EmailTaken without an error of the server", err, server.Detail)
				default:
					wantCode(t, err, user.EmailTaken)
					taken.Add(1)
				}
			})
		}
		for _, u := range users {
			try(func() error {
				_, err := db.Change(t.Context(), access.Internal(u.ID),
					func(_ context.Context, _ user.Tx, u user.User) (user.Change, error) {
						u.Email = email
						return user.Change{User: &u}, nil
					})
				return err
			})
			try(func() error { return db.Create(t.Context(), access.Internal(uuid.Nil), accountOf(newUser(email)), nil) })
		}
		if wg.Wait(); got.Load() != 1 || taken.Load() != 5 {
			t.Errorf("%d calls got the email and %d got EmailTaken, want 1 and 5", got.Load(), taken.Load())
		}
	}
}

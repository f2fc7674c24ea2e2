package growth_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/pkg/user"
)

// entriesOfUser is the number of audit entries about each user.
const entriesOfUser = 3

// firstNames are spread evenly over the users. The first letters have different frequencies, as those of real names do.
var firstNames = []string{
	"Maria", "Mario", "Marta", "Martin", "Max", "Anna", "Anton", "Ada", "Alan", "Bela", "Carl", "Clara", "Dora", "Emil", "Eva", "Franz",
	"Greta", "Hugo", "Ida", "Stefan",
}

// population is the data of a database with a number of users. The names of most users are spread evenly. The oldest and the newest
// twentieth have names of their own: Studio and Student, with a number. So users with the prefix "student" are in one place, behind all
// others, and share their first characters with users in another place.
type population int

// skewed returns the number of users whose names begin with Studio, and of those with Student.
func (p population) skewed() int { return int(p) / 20 }

// id returns the id of a user: a UUIDv7 for each millisecond.
func (population) id(n int) (id uuid.UUID) { return inTime(n, 0) }

// entry returns the id of an audit entry about a user. The entries are in the order of the users.
func (population) entry(n, i int) (id uuid.UUID) { return inTime(n, i+1) }

// inTime returns a UUIDv7 of millisecond n.
func inTime(n, last int) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[:], uint64(1_700_000_000_000+n)<<16)
	id[6], id[8], id[15] = 0x70, 0x80, byte(last)
	return id
}

func (p population) name(n int) string {
	switch {
	case n < p.skewed():
		return fmt.Sprintf("Studio %d", n)
	case n >= int(p)-p.skewed():
		return fmt.Sprintf("Student %d", n)
	default:
		return fmt.Sprintf("%s %d", firstNames[n*7919%len(firstNames)], n)
	}
}

func (p population) email(n int) string {
	return fmt.Sprintf("user%d@%s.example", n*7919%int(p), "mail")
}

// create fills the empty database of conn.
func (p population) create(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	created := time.Date(2023, 11, 14, 0, 0, 0, 0, time.UTC)
	fill(t, conn, "users", []string{"id", "email", "email_key", "name", "name_key", "status", "version", "created_at", "updated_at"}, int(p),
		func(n int) []any {
			status := user.Active
			if n%10 == 3 {
				status = user.Disabled
			}
			email, name := p.email(n), p.name(n)
			return []any{p.id(n), email, user.EmailKey(email), name, user.Fold(name), string(status), 1, created, created}
		})
	fill(t, conn, "credentials", []string{"user_id", "password_hash", "changed_at"}, int(p), func(n int) []any {
		return []any{p.id(n), "hash", created}
	})
	fill(t, conn, "user_roles", []string{"user_id", "role"}, int(p), func(n int) []any { return []any{p.id(n), "user"} })
	fill(t, conn, "sessions", []string{"id", "user_id", "counter", "created_at", "turned_at", "expires_at"}, int(p), func(n int) []any {
		return []any{p.id(n), p.id(n), 0, created, created, time.Now().Add(time.Hour)}
	})
	fill(t, conn, "audit_events", []string{"id", "time", "action", "actor_id", "user_id"}, entriesOfUser*int(p), func(n int) []any {
		who, i := n/entriesOfUser, n%entriesOfUser
		action := []user.Action{user.LoginSucceeded, user.LoginFailed, user.UserUpdated}[i]
		return []any{p.entry(who, i), created, string(action), p.id(who), p.id(who)}
	})
	for _, statement := range []string{
		`INSERT INTO user_roles SELECT id, 'admin' FROM users ORDER BY id LIMIT 5`,
		`VACUUM ANALYZE`,
	} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

// fill copies rows into a table.
func fill(t *testing.T, conn *pgx.Conn, table string, columns []string, rows int, row func(n int) []any) {
	t.Helper()
	n := 0
	copied, err := conn.CopyFrom(context.Background(), pgx.Identifier{table}, columns, pgx.CopyFromFunc(func() ([]any, error) {
		if n == rows {
			return nil, nil
		}
		n++
		return row(n - 1), nil
	}))
	if err != nil || copied != int64(rows) {
		t.Fatalf("%d rows are copied to %s, want %d: %v", copied, table, rows, err)
	}
}

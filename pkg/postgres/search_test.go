package postgres_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/user"
)

// similarUsers inserts 26,500 users. Most share their first characters, more than a search reads in the order of the ids. The 1,500 with
// the prefix abcz are the last ones. 1 % are disabled, and every second user has the role auditor.
const similarUsers = `
	INSERT INTO users (id, email, email_key, name, name_key, status, version, created_at, updated_at)
	SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, k, k, name, name,
		CASE WHEN n % 100 = 0 THEN 'disabled' ELSE 'active' END, 1, now(), now()
	FROM (SELECT n, CASE WHEN n <= 25000 THEN 'abcx' ELSE 'abcz' END || n || '@example.com' k,
			CASE n % 3 WHEN 0 THEN 'abcz ' || n WHEN 1 THEN 'ärzte ' || n END name
		FROM generate_series(1, 26500) n) s;
	INSERT INTO roles (name) VALUES ('auditor'), ('rare');
	INSERT INTO user_roles SELECT id, 'auditor' FROM users WHERE substr(id::text, 36) ~ '[02468ace]';
	INSERT INTO user_roles SELECT id, 'rare' FROM users ORDER BY id DESC LIMIT 30;
	ANALYZE;`

// TestASearchFindsTheSameUsersAsAScan compares pages of a search with those of a simple query, for prefixes with few and with many users.
func TestASearchFindsTheSameUsersAsAScan(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	execute(t, dsn, similarUsers)
	conn, db := connect(t, dsn), postgrestest.Connect(t, dsn, nil)
	for _, prefix := range []string{
		"a", "ab", "abc", "ABC", "abcx", "abcz", "abcx2", "abcz26", "abcz 2", "abcx25000@example.com", "ä", "ärz", "ärzt", "ärzte 1", "b",
		"abcy", "abcz%", " ",
	} {
		for _, after := range []int{0, 12_345, 25_995, 26_490} {
			for _, filter := range []user.Filter{
				{}, {Status: user.Disabled}, {Role: "auditor"}, {Role: "rare"}, {Role: "auditor", Status: user.Active},
			} {
				filter.Prefix, filter.Limit = prefix, 20
				filter.After = uuid.MustParse(fmt.Sprintf("00000000-0000-7000-8000-%012x", after))
				page, err := db.Users(t.Context(), filter)
				if err != nil {
					t.Fatal(err)
				}
				var got []uuid.UUID
				for _, u := range page.Users {
					got = append(got, u.ID)
				}
				want := scan(t, conn, filter)
				more := len(want) > filter.Limit
				if want = want[:min(len(want), filter.Limit)]; !slices.Equal(got, want) || page.More != more {
					t.Errorf("%+v: the page is %v, more %t, want %v, more %t", filter, got, page.More, want, more)
				}
			}
		}
	}
}

// scan returns the ids of a page and of the next user, by a query without an index.
func scan(t *testing.T, conn *pgx.Conn, f user.Filter) []uuid.UUID {
	t.Helper()
	rows, err := conn.Query(t.Context(), `
		SELECT u.id FROM users u WHERE (starts_with(u.email_key || '', $1) OR starts_with(u.name_key || '', $2)) AND u.id > $3
			AND ($4 = '' OR u.status = $4) AND ($5 = '' OR EXISTS (SELECT FROM user_roles ur WHERE ur.user_id = u.id AND ur.role = $5))
		ORDER BY u.id LIMIT $6`, user.EmailKey(f.Prefix), user.Fold(f.Prefix), f.After, string(f.Status), f.Role, f.Limit+1)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

package postgres_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/pkg/postgres"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/user"
)

// hashed inserts an account for each password hash.
const hashed = `
	WITH made AS (
		INSERT INTO users (id, email, email_key, status, version, created_at, updated_at)
		SELECT gen_random_uuid(), n::text, n::text, 'active', 1, now(), now() FROM generate_series(1, 11) n
		RETURNING id, email)
	INSERT INTO credentials (user_id, password_hash, changed_at, imported_prefix)
	SELECT id, hash, now(), prefix FROM made JOIN (VALUES
		(1, '$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$a2V5', NULL), (2, '$argon2id$v=19$m=19456,t=2,p=1$dGxhcw$b2U2', NULL),
		(3, '$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$a2V5', NULL),
		(4, '$argon2i$v=19$m=512,t=2,p=2$c2FsdA$a2V5', '$argon2i$v=19$m=512,t=2,p=2$c2FsdA$'),
		(5, '$2b$12$c2FsdA', '$2b$12$c2FsdA'), (6, '$2b$12$dGxhcw', '$2b$12$dGxhcw'), (7, '$2y$10$c2FsdA', '$2y$10$c2FsdA'),
		(8, 'pbkdf2_sha256$600000$c2FsdA$a2V5', 'pbkdf2_sha256$600000$c2FsdA$'),
		(9, '$pbkdf2-sha256$29000$c2FsdA$a2V5', '$pbkdf2-sha256$29000$c2FsdA$'),
		(10, '$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$a2V5', '$2b$12$c2FsdA'),
		(11, '$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$a2V5', '$2b$12$dGxhcw')
	) AS h (n, hash, prefix) ON n::text = email`

func TestHashCostsAreCounted(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db := postgrestest.Connect(t, dsn, nil)
	if got, err := db.HashCosts(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("without accounts: %v (%v), want no counts", got, err)
	}
	execute(t, dsn, hashed)
	got, err := db.HashCosts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const today = "$argon2id$v=19$m=19456,t=2,p=1"
	want := []user.HashCost{
		{Accounts: 3}, // accounts that were not imported have one sum, although their parameters differ
		{Imported: "$argon2i$v=19$m=512,t=2,p=2", Current: "$argon2i$v=19$m=512,t=2,p=2", Accounts: 1},
		{Imported: "$2b$12", Current: "$2b$12", Accounts: 2},
		{Imported: "$2b$12", Current: today, Accounts: 2},
		{Imported: "$2y$10", Current: "$2y$10", Accounts: 1},
		{Imported: "pbkdf2_sha256$600000", Current: "pbkdf2_sha256$600000", Accounts: 1},
		{Imported: "$pbkdf2-sha256$29000", Current: "$pbkdf2-sha256$29000", Accounts: 1},
	}
	less := func(a, b user.HashCost) bool { return a.Imported+a.Current < b.Imported+b.Current }
	if diff := cmp.Diff(want, got, cmpopts.SortSlices(less)); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

// TestManyHashCostsAreCountedInBatches counts more imported accounts than one statement reads. After Close, the count must fail.
func TestManyHashCostsAreCountedInBatches(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db := postgrestest.Connect(t, dsn, nil)
	execute(t, dsn, `INSERT INTO users (id, email, email_key, status, version, created_at, updated_at)
		SELECT gen_random_uuid(), n::text, n::text, 'active', 1, now(), now() FROM generate_series(1, 20000) n;
		INSERT INTO credentials (user_id, password_hash, changed_at, imported_prefix)
		SELECT id, '$2b$12$' || id, now(),
			CASE WHEN email::int > 100 THEN '$2b$12$' || CASE WHEN email::int % 2 = 0 THEN id::text ELSE 'x' END END FROM users`)
	got, err := db.HashCosts(t.Context())
	want := []user.HashCost{{Accounts: 100}, {Imported: "$2b$12", Current: "$2b$12", Accounts: 19900}}
	less := func(a, b user.HashCost) bool { return a.Imported < b.Imported }
	if diff := cmp.Diff(want, got, cmpopts.SortSlices(less)); diff != "" || err != nil {
		t.Errorf("counts (-want +got), error %v:\n%s", err, diff)
	}
	db.Close(t.Context())
	if _, err := db.HashCosts(t.Context()); err == nil {
		t.Error("HashCosts succeeds after Close, want an error")
	}
}

// TestACountReadsOnlyImportedHashes checks the plan of the count with and without statistics of the table. Both plans must use the index
// of the imported hashes.
func TestACountReadsOnlyImportedHashes(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	execute(t, dsn, `INSERT INTO users (id, email, email_key, status, version, created_at, updated_at)
		SELECT gen_random_uuid(), n::text, n::text, 'active', 1, now(), now() FROM generate_series(1, 20000) n;
		INSERT INTO credentials (user_id, password_hash, changed_at, imported_prefix)
		SELECT id, '$2b$12$' || id, now(), CASE WHEN email::int <= 10 THEN '$2b$12$' END FROM users`)
	conn := connect(t, dsn)
	for _, analyze := range []string{"", "ANALYZE credentials"} {
		if _, err := conn.Exec(t.Context(), analyze); err != nil {
			t.Fatal(err)
		}
		rows, err := conn.Query(t.Context(), `EXPLAIN `+postgres.HashCostsQuery, uuid.Nil, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if plan := strings.Join(lines, "\n"); err != nil || !strings.Contains(plan, "credentials_imported") {
			t.Errorf("after %q the plan does not use the index of imported hashes (%v):\n%s", analyze, err, plan)
		}
	}
}

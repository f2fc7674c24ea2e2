package postgres_test

import (
	"errors"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/user"
)

// hashed makes an account for each password hash.
const hashed = `
	WITH made AS (
		INSERT INTO users (id, email, email_key, status, version, created_at, updated_at)
		SELECT gen_random_uuid(), n::text, n::text, 'active', 1, now(), now() FROM generate_series(1, 15) n
		RETURNING id, email)
	INSERT INTO credentials (user_id, password_hash, changed_at, imported_prefix)
	SELECT id, hash, now(), prefix FROM made JOIN (VALUES
		(1, '$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$a2V5', NULL), (2, '$argon2id$v=19$m=19456,t=2,p=1$dGxhcw$b2U2', NULL),
		(3, '$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$a2V5', NULL), (4, '$argon2i$v=19$m=512,t=2,p=2$c2FsdA$a2V5', '$argon2i$v=19$m=512,t=2,p=2$c2FsdA$'),
		(5, '$2b$12$c2FsdA', '$2b$12$c2FsdA'), (6, '$2b$12$dGxhcw', '$2b$12$dGxhcw'), (7, '$2y$10$c2FsdA', '$2y$10$c2FsdA'),
		(8, 'pbkdf2_sha256$600000$c2FsdA$a2V5', 'pbkdf2_sha256$600000$c2FsdA$'),
		(9, '$pbkdf2-sha256$29000$c2FsdA$a2V5', '$pbkdf2-sha256$29000$c2FsdA$'),
		(10, '$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$a2V5', '$2b$12$c2FsdA'), (11, '$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$a2V5', '$2b$12$dGxhcw')
	) AS h (n, hash, prefix) ON n::text = email`

func TestHashCostsAreCounted(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db := postgrestest.Connect(t, dsn, nil)
	if got, err := db.HashCosts(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("without accounts: %v, %v", got, err)
	}
	execute(t, dsn, hashed)
	got, err := db.HashCosts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const today = "$argon2id$v=19$m=19456,t=2,p=1"
	want := []user.HashCost{
		{Came: today, Now: today, Accounts: 2},
		{Came: "$argon2id$v=19$m=65536,t=3,p=4", Now: "$argon2id$v=19$m=65536,t=3,p=4", Accounts: 1},
		{Came: "$argon2i$v=19$m=512,t=2,p=2", Now: "$argon2i$v=19$m=512,t=2,p=2", Accounts: 1},
		{Came: "$2b$12", Now: "$2b$12", Accounts: 2},
		{Came: "$2b$12", Now: today, Accounts: 2},
		{Came: "$2y$10", Now: "$2y$10", Accounts: 1},
		{Came: "pbkdf2_sha256$600000", Now: "pbkdf2_sha256$600000", Accounts: 1},
		{Came: "$pbkdf2-sha256$29000", Now: "$pbkdf2-sha256$29000", Accounts: 1},
	}
	less := func(a, b user.HashCost) bool { return a.Came+a.Now < b.Came+b.Now }
	if diff := cmp.Diff(want, got, cmpopts.SortSlices(less)); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

// TestACountThatTakesTooLongIsNotAnUnavailableDatabase gives a statement no time, on a database that is there.
func TestACountThatTakesTooLongIsNotAnUnavailableDatabase(t *testing.T) {
	t.Parallel()
	dsn, err := url.Parse(postgrestest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	execute(t, dsn.String(), `INSERT INTO users (id, email, email_key, status, version, created_at, updated_at)
		SELECT gen_random_uuid(), n::text, n::text, 'active', 1, now(), now() FROM generate_series(1, 20000) n;
		INSERT INTO credentials (user_id, password_hash, changed_at) SELECT id, '$2b$12$' || id, now() FROM users`)
	query := dsn.Query()
	query.Set("statement_timeout", "1")
	dsn.RawQuery = query.Encode()
	db := postgrestest.Connect(t, dsn.String(), nil)
	_, err = db.HashCosts(t.Context())
	if known, is := errors.AsType[*user.Error](err); err == nil || is {
		t.Errorf("HashCosts = %v (%v), want an error that is not Unavailable", err, known)
	}
	db.Close()
	if _, err := db.HashCosts(t.Context()); err == nil {
		t.Error("a closed database counts")
	}
}

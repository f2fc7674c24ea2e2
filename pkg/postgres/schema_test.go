package postgres_test

import (
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/migrations"
	"user-service/pkg/postgres"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/user"
)

func newMigrator(t *testing.T, dsn string) *postgres.Migrator {
	t.Helper()
	return newLoggedMigrator(t, dsn, slog.New(slog.DiscardHandler))
}

func newLoggedMigrator(t *testing.T, dsn string, log *slog.Logger) *postgres.Migrator {
	t.Helper()
	m, err := postgres.NewMigrator(dsn, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// count is the number of migrations.
func count(t *testing.T) int {
	t.Helper()
	files, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are %d migrations (%v), want at least 1", len(files), err)
	}
	return len(files) + 1 // one migration is in Go
}

func TestMigrationsGoUpDownAndUpAgain(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Empty(t)
	db, m := postgrestest.Connect(t, dsn, nil), newMigrator(t, dsn)
	wantVersion(t, db, 0)
	up(t, m)
	required, err := postgres.RequiredSchema()
	if err != nil {
		t.Fatal(err)
	}
	wantVersion(t, db, required)
	before := schema(t, dsn)
	for range count(t) {
		if _, err := m.Down(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	wantVersion(t, db, 0)
	if left := schema(t, dsn); len(left) != 0 {
		t.Errorf("%q is left of the schema, want nothing", left)
	}
	up(t, m)
	wantVersion(t, db, required)
	if diff := cmp.Diff(before, schema(t, dsn)); diff != "" {
		t.Errorf("the schema differs after the migrations ran again (-first +second):\n%s", diff)
	}
}

// up runs all migrations on an empty database, and checks their number.
func up(t *testing.T, m *postgres.Migrator) {
	t.Helper()
	done, err := m.Up(t.Context())
	if err != nil || len(done) != count(t) {
		t.Fatalf("%d migrations ran (%v), want %d", len(done), err, count(t))
	}
}

func wantVersion(t *testing.T, db *postgres.DB, want int64) {
	t.Helper()
	if got, err := db.SchemaVersion(t.Context()); err != nil || got != want {
		t.Fatalf("the schema has version %d (%v), want %d", got, err, want)
	}
}

// schema describes each column, index and constraint, except those of goose.
func schema(t *testing.T, dsn string) []string {
	t.Helper()
	rows, err := connect(t, dsn).Query(t.Context(), `
		SELECT concat_ws(' ', table_name, column_name, data_type, collation_name, is_nullable, column_default, is_identity) d
		FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE 'goose%'
		UNION SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename NOT LIKE 'goose%'
		UNION SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
		WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text NOT LIKE 'goose%' ORDER BY d`)
	if err != nil {
		t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestConcurrentMigratorsRunEachMigrationOnce(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Empty(t)
	var ran atomic.Int64
	var wg sync.WaitGroup
	for range 2 {
		m := newMigrator(t, dsn)
		wg.Go(func() {
			done, err := m.Up(t.Context())
			if err != nil {
				t.Error(err)
			}
			ran.Add(int64(len(done)))
		})
	}
	wg.Wait()
	if int(ran.Load()) != count(t) {
		t.Errorf("%d migrations ran, want %d", ran.Load(), count(t))
	}
	var rows int
	err := connect(t, dsn).QueryRow(t.Context(), `SELECT count(*) FROM goose_db_version WHERE version_id > 0`).Scan(&rows)
	if err != nil || rows != count(t) {
		t.Errorf("%d versions are recorded (%v), want %d", rows, err, count(t))
	}
}

// TestANewerSchemaIsNotChanged runs migrations while the schema is newer than this version of the service, as during an upgrade.
func TestANewerSchemaIsNotChanged(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db, m := postgrestest.Connect(t, dsn, nil), newMigrator(t, dsn)
	execute(t, dsn, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)`)
	before := schema(t, dsn)
	if done, err := m.Up(t.Context()); err != nil || len(done) != 0 {
		t.Errorf("Up ran %d migrations (%v), want none", len(done), err)
	}
	wantVersion(t, db, 99999)
	if done, err := m.Down(t.Context()); err == nil {
		t.Errorf("Down rolled back %v, want an error: this version of the service does not know the schema", done)
	}
	if diff := cmp.Diff(before, schema(t, dsn)); diff != "" {
		t.Errorf("the schema has changed (-before +after):\n%s", diff)
	}
}

func TestAMissingDatabaseIsUnavailable(t *testing.T) {
	t.Parallel()
	missing, err := url.Parse(postgrestest.Empty(t))
	if err != nil {
		t.Fatal(err)
	}
	missing.Path += "_missing"
	db := postgrestest.Connect(t, missing.String(), nil)
	_, err = db.User(t.Context(), uuid.New())
	wantCode(t, err, user.Unavailable)
}

func TestMigrationsAcceptTheURLOfThePool(t *testing.T) {
	t.Parallel()
	dsn, err := url.Parse(postgrestest.Empty(t))
	if err != nil {
		t.Fatal(err)
	}
	query := dsn.Query()
	query.Set("pool_max_conns", "3")
	dsn.RawQuery = query.Encode()
	m, err := postgres.NewMigrator(dsn.String(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	if _, err := m.Up(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestMigrationsTimeOut connects to a server that accepts connections but never responds, as behind a broken network.
func TestMigrationsTimeOut(t *testing.T) {
	t.Parallel()
	silent, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	for parameters, limit := range map[string]time.Duration{"": 10 * time.Second, "&connect_timeout=2": 2 * time.Second} {
		t.Run(limit.String(), func(t *testing.T) {
			t.Parallel()
			dsn := "postgres://app:hunter2@" + silent.Addr().String() + "/app?sslmode=disable" + parameters
			m, err := postgres.NewMigrator(dsn, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = m.Close() })
			began := time.Now()
			_, err = m.Up(t.Context())
			took := time.Since(began)
			if err == nil || !strings.Contains(err.Error(), "does not answer within "+limit.String()) ||
				strings.Contains(err.Error(), "hunter2") {
				t.Errorf("Up: %v, want the error that the database does not answer within %s, without the password", err, limit)
			}
			if took < limit || took > 2*limit+10*time.Second {
				t.Errorf("Up took %s, want about %s", took, limit)
			}
		})
	}
}

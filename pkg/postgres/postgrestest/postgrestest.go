// Package postgrestest gives each test a real database of its own, as a copy of a template that was migrated once.
package postgrestest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"user-service/internal/testkit"
	"user-service/migrations"
	"user-service/pkg/postgres"
)

// templateLock is the key of an advisory lock, which makes concurrent test binaries create the template only once.
const templateLock = 0x74656d706c617465

// ServerURL returns DATABASE_URL: the URL of a server on which the role may create databases and roles.
func ServerURL(t testing.TB) string {
	t.Helper()
	server := os.Getenv("DATABASE_URL")
	if server == "" {
		t.Fatal(`DATABASE_URL is not set: run "make test", or: eval "$(tools/dev/services up --name test)"`)
	}
	return server
}

// URL returns the URL of a new database with the schema. It is dropped when the test ends.
func URL(t testing.TB) string {
	t.Helper()
	server := ServerURL(t)
	if err := makeTemplate(server); err != nil {
		t.Fatalf("create the template database: %v", err)
	}
	return create(t, server, "TEMPLATE "+templateName())
}

// Empty returns the URL of a new database without a schema. It is dropped when the test ends.
func Empty(t testing.TB) string {
	t.Helper()
	return create(t, ServerURL(t), "")
}

// InEncoding returns the URL of a new database without a schema, with an encoding. It is dropped when the test ends.
func InEncoding(t testing.TB, encoding string) string {
	t.Helper()
	return create(t, ServerURL(t), "TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C' ENCODING '"+encoding+"'")
}

// Open returns a new database with the schema. committed is passed to postgres.Open. The database is dropped when the test ends.
func Open(t testing.TB, committed func()) *postgres.DB {
	t.Helper()
	return Connect(t, URL(t), committed)
}

// Connect opens the database at dsn until the test ends.
func Connect(t testing.TB, dsn string, committed func()) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(t.Context(), postgres.Config{URL: dsn, MaxConns: 8}, committed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close(context.Background()) })
	return db
}

func create(t testing.TB, server, options string) string {
	t.Helper()
	name := "test_" + strings.ToLower(rand.Text())
	if err := execute(server, "CREATE DATABASE "+name+" "+options); err != nil {
		t.Fatalf("create a database: %v", err)
	}
	t.Cleanup(func() { drop(t, server, name) })
	return withDatabase(server, name)
}

func drop(t testing.TB, server, name string) {
	t.Helper()
	var err error
	// fails while a vacuum of the database runs, but a vacuum ends soon
	if !testkit.Await(context.Background(), testkit.Timeout, func() bool {
		err = execute(server, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
		return err == nil
	}) {
		t.Errorf("drop a database: %v", err)
	}
}

// WaitForLock waits until a session waits for a lock in the database of conn.
func WaitForLock(t testing.TB, conn *pgx.Conn) {
	t.Helper()
	waitForEvent(t, conn, "wait_event_type = 'Lock'")
}

// WaitForSleep waits until a session runs pg_sleep in the database of conn.
func WaitForSleep(t testing.TB, conn *pgx.Conn) {
	t.Helper()
	waitForEvent(t, conn, "wait_event = 'PgSleep'")
}

func waitForEvent(t testing.TB, conn *pgx.Conn, event string) {
	t.Helper()
	testkit.WaitFor(t, "a session with "+event, func() (waits bool) {
		if err := conn.QueryRow(context.Background(), `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE datname = current_database() AND `+event+`)`).Scan(&waits); err != nil {
			t.Fatal(err)
		}
		return waits
	})
}

// templateName contains a hash of the migrations, so that tests never use an outdated template.
var templateName = sync.OnceValue(func() string {
	sum := sha256.New()
	files, _ := fs.Glob(migrations.FS, "*.sql")
	for _, file := range files {
		content, err := migrations.FS.ReadFile(file)
		if err != nil {
			panic(err) // not possible: the files are embedded
		}
		sum.Write(content)
	}
	return "template_" + hex.EncodeToString(sum.Sum(nil)[:8])
})

var templates sync.Map // server URL → func() error

// makeTemplate creates the template database if it does not exist.
func makeTemplate(server string) error {
	once, _ := templates.LoadOrStore(server, sync.OnceValue(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		return locked(ctx, server, func(conn *pgx.Conn) error {
			var exists bool
			err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)`, templateName()).Scan(&exists)
			if err != nil || exists {
				return err
			}
			return migrateTemplate(ctx, conn, server)
		})
	}))
	return once.(func() error)()
}

// migrateTemplate creates and migrates a database under another name, and then renames the database. So tests never use an incomplete
// template.
func migrateTemplate(ctx context.Context, conn *pgx.Conn, server string) error {
	draft := templateName() + "_draft"
	if _, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+draft+" WITH (FORCE)"); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+draft); err != nil {
		return err
	}
	m, err := postgres.NewMigrator(withDatabase(server, draft), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	_, err = m.Up(ctx)
	_ = m.Close()
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, fmt.Sprintf("ALTER DATABASE %s RENAME TO %s", draft, templateName()))
	return err
}

func locked(ctx context.Context, server string, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // also releases the lock
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(templateLock)); err != nil {
		return err
	}
	return do(conn)
}

func execute(server, sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, sql)
	return err
}

func withDatabase(server, name string) string {
	u, err := url.Parse(server)
	if err != nil {
		panic("DATABASE_URL must be a URL")
	}
	u.Path = "/" + name
	query := u.Query()
	query.Set("connect_timeout", "30") // a slow machine must not fail the tests
	u.RawQuery = query.Encode()
	return u.String()
}

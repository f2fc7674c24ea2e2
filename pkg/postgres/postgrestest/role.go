package postgrestest

import (
	"crypto/rand"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// Role is a role of the server.
type Role struct {
	t      testing.TB
	server string
	name   string
}

// NewRole creates a role with a password. The role is dropped when the test ends, after the databases that the test creates later.
func NewRole(t testing.TB, password string) *Role {
	t.Helper()
	r := &Role{t: t, server: ServerURL(t), name: "test_" + strings.ToLower(rand.Text())}
	r.execute(r.server, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", r.name, password))
	t.Cleanup(func() { r.execute(r.server, "DROP ROLE "+r.name) })
	return r
}

// Name returns the role's name.
func (r *Role) Name() string { return r.name }

// SetPassword changes the role's password.
func (r *Role) SetPassword(password string) {
	r.t.Helper()
	r.execute(r.server, fmt.Sprintf("ALTER ROLE %s PASSWORD '%s'", r.name, password))
}

// Limit sets the maximum number of connections of the role. Open connections stay open.
func (r *Role) Limit(connections int) {
	r.t.Helper()
	r.execute(r.server, fmt.Sprintf("ALTER ROLE %s CONNECTION LIMIT %d", r.name, connections))
}

// Set changes a setting of the role for new sessions, such as "lock_timeout = '100ms'".
func (r *Role) Set(setting string) {
	r.t.Helper()
	r.execute(r.server, fmt.Sprintf("ALTER ROLE %s SET %s", r.name, setting))
}

// Use grants the role all privileges on the tables and functions in the database at dsn.
func (r *Role) Use(dsn string) {
	r.t.Helper()
	r.execute(dsn, "GRANT ALL ON ALL TABLES IN SCHEMA public TO "+r.name)
	r.execute(dsn, "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO "+r.name)
}

// UseTablesToCome lets the role read and write all tables that are created later in the database at dsn.
func (r *Role) UseTablesToCome(dsn string) {
	r.t.Helper()
	r.execute(dsn, "ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO "+r.name)
}

// URL returns dsn with the role and the password.
func (r *Role) URL(dsn, password string) string {
	r.t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		r.t.Fatal("the database's URL is invalid")
	}
	u.User = url.UserPassword(r.name, password)
	return u.String()
}

func (r *Role) execute(dsn, sql string) {
	r.t.Helper()
	if err := execute(dsn, sql); err != nil {
		r.t.Fatalf("the role of DATABASE_URL must be allowed to create roles: %v", err)
	}
}

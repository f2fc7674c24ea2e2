package postgrestest

import (
	"crypto/rand"
	"log/slog"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"user-service/pkg/postgres"
)

// Separate is a database with separate roles for the migrations and the service.
type Separate struct {
	Owner, Service string // the URLs of the migrations and of the service
}

// NewSeparate creates a database with the schema, a role for the migrations and a role for the service. It uses the commands in
// docs/operations.md. The database is dropped when the test ends.
func NewSeparate(t testing.TB, schema string) Separate {
	t.Helper()
	server, name := ServerURL(t), "test_"+strings.ToLower(rand.Text())
	create, grant := separateCommands(t, name, schema)
	t.Cleanup(func() {
		drop(t, server, name)
		if err := execute(server, "DROP ROLE IF EXISTS "+name+"_owner, "+name+"_service"); err != nil {
			t.Errorf("drop roles: %v", err)
		}
	})
	run := func(dsn string, commands ...string) {
		t.Helper()
		for _, command := range commands {
			if err := execute(dsn, command); err != nil {
				t.Fatalf("%s: %v", command, err)
			}
		}
	}
	run(server, create[:2]...)
	run(server, "GRANT "+name+"_owner, "+name+"_service TO CURRENT_USER") // otherwise only a superuser may create and drop the database
	run(server, create[2:]...)
	s := Separate{
		Owner:   asRole(t, server, name, name+"_owner", "change-me"),
		Service: asRole(t, server, name, name+"_service", "change-me-too"),
	}
	if schema != "public" {
		run(s.Owner, "CREATE SCHEMA "+schema)
		for _, role := range []string{"_owner", "_service"} {
			run(server, "ALTER ROLE "+name+role+" IN DATABASE "+name+" SET search_path = "+schema)
		}
	}
	Migrate(t, s.Owner)
	run(s.Owner, grant...)
	return s
}

// block matches a block of SQL commands in a page.
var block = regexp.MustCompile("(?s)```sql\n(.*?)```")

// separateCommands returns the commands of docs/operations.md, with the names of a test. The list create has the commands for the roles
// and the database. The list grant has the commands that give the service's role its privileges.
func separateCommands(t testing.TB, name, schema string) (create, grant []string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Separate database roles\n")
	blocks := block.FindAllStringSubmatch(section, -1)
	if len(blocks) < 2 {
		t.Fatal("docs/operations.md has no commands for separate database roles")
	}
	names := strings.NewReplacer(
		"users_owner", name+"_owner", "users_service", name+"_service",
		"DATABASE users ", "DATABASE "+name+" ", "SCHEMA public", "SCHEMA "+schema)
	commands := func(n int) []string {
		return strings.Split(strings.TrimSpace(names.Replace(blocks[n][1])), "\n")
	}
	return commands(0), commands(1)
}

// Migrate runs all migrations on a database.
func Migrate(t testing.TB, dsn string) {
	t.Helper()
	m, err := postgres.NewMigrator(dsn, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func asRole(t testing.TB, server, database, role, password string) string {
	t.Helper()
	u, err := url.Parse(withDatabase(server, database))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, password)
	return u.String()
}

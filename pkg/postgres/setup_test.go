package postgres_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/pkg/access"
	"user-service/pkg/postgres"
	"user-service/pkg/postgres/postgrestest"
)

// TestADatabaseInAnotherEncodingIsRefused checks the errors of the migrations and of readiness for a database whose encoding is not UTF8.
// Such a database can't store some names, or other programs misread its text.
func TestADatabaseInAnotherEncodingIsRefused(t *testing.T) {
	t.Parallel()
	for _, encoding := range []string{"LATIN1", "EUC_JP", "SQL_ASCII", "WIN1252"} {
		t.Run(encoding, func(t *testing.T) {
			t.Parallel()
			dsn := postgrestest.InEncoding(t, encoding)
			m, err := postgres.NewMigrator(dsn, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = m.Close() }()
			const want = "; create it with ENCODING 'UTF8'"
			if _, err := m.Up(t.Context()); err == nil || err.Error() != "the database's encoding is "+encoding+want {
				t.Errorf("the migrations: %v, want the encoding %s and how to fix it", err, encoding)
			}
			db := postgrestest.Connect(t, dsn, nil)
			if err := db.CheckSetup(t.Context()); !errors.As(err, new(postgres.SetupError)) ||
				!strings.Contains(err.Error(), encoding+want) {
				t.Errorf("readiness: %v, want a SetupError with the encoding %s", err, encoding)
			}
		})
	}
}

// TestTextAndTimesDoNotDependOnSettings stores and reads a user while the role and the URL set other formats of text and times.
func TestTextAndTimesDoNotDependOnSettings(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"cache_statement", "exec"} {
		role := postgrestest.NewRole(t, "one")
		dsn := postgrestest.URL(t)
		role.Use(dsn)
		for _, setting := range []string{
			"client_encoding = 'LATIN1'", "datestyle = 'German, DMY'", "timezone = 'Asia/Tokyo'", "intervalstyle = 'iso_8601'",
		} {
			role.Set(setting)
		}
		for _, given := range []string{"", "&client_encoding=LATIN1&DateStyle=German"} {
			db := postgrestest.Connect(t, role.URL(dsn, "one")+"&default_query_exec_mode="+mode+given, nil)
			u := newUser("zoë" + mode + given[:min(1, len(given))] + "@example.com")
			u.Name = "日本"
			if err := db.Create(t.Context(), access.Internal(uuid.Nil), accountOf(u), nil); err != nil {
				t.Fatal(err)
			}
			wantUser(t, db, u)
			wantUser(t, postgrestest.Connect(t, dsn, nil), u)
		}
	}
}

// TestMissingPrivilegesAreReported revokes privileges from the service's role, one after another. CheckSetup must name each missing
// privilege.
func TestMissingPrivilegesAreReported(t *testing.T) {
	t.Parallel()
	database := postgrestest.NewSeparate(t, "accounts")
	db := postgrestest.Connect(t, database.Service, nil)
	if err := db.CheckSetup(t.Context()); err != nil {
		t.Errorf("with the documented privileges: %v, want no error", err)
	}
	service, err := pgx.ParseConfig(database.Service)
	if err != nil {
		t.Fatal(err)
	}
	role := service.User
	const anonymize = "anonymize_audit_events(uuid, integer)"
	for _, test := range []struct{ take, want string }{
		{"SELECT ON users", "the service's role lacks privileges: SELECT on users; grant them"},
		{"INSERT, DELETE ON outbox", "the service's role lacks privileges: DELETE on outbox, INSERT on outbox; grant them"},
		{"INSERT ON audit_events", "the service's role lacks privileges: INSERT on audit_events; grant them"},
		{"SELECT ON goose_db_version", "the service's role lacks privileges: SELECT on goose_db_version; grant them"},
		{"EXECUTE ON FUNCTION " + anonymize, "the service's role lacks privileges: EXECUTE on " + anonymize + "; grant them"},
	} {
		execute(t, database.Owner, "REVOKE "+test.take+" FROM "+role)
		if err := db.CheckSetup(t.Context()); !errors.As(err, new(postgres.SetupError)) || err.Error() != test.want {
			t.Errorf("without %s: %v, want %s", test.take, err, test.want)
		}
		if _, err := db.SchemaVersion(t.Context()); strings.Contains(test.take, "goose") != errors.As(err, new(postgres.SetupError)) {
			t.Errorf("without %s: SchemaVersion: %v, want a SetupError only without SELECT on goose_db_version", test.take, err)
		}
		execute(t, database.Owner, "GRANT "+test.take+" TO "+role)
	}
	execute(t, database.Owner, "REVOKE USAGE ON SCHEMA accounts FROM "+role)
	const noSchema = "the service's role may use no schema of its search_path"
	if err := db.CheckSetup(t.Context()); err == nil || !strings.HasPrefix(err.Error(), noSchema) {
		t.Errorf("without USAGE: %v, want %s", err, noSchema)
	}
}

// TestPrivilegesOnAllTablesAreChecked compares the list of checked tables with the schema.
func TestPrivilegesOnAllTablesAreChecked(t *testing.T) {
	t.Parallel()
	rows, err := connect(t, postgrestest.URL(t)).Query(t.Context(),
		`SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE 'goose%' ORDER BY tablename COLLATE "C"`)
	if err != nil {
		t.Fatal(err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(found, postgres.Tables); diff != "" {
		t.Errorf("the tables (-schema +list):\n%s", diff)
	}
}

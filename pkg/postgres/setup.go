package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// SetupError says what an operator has to change about the database before the service can use it. It may be shown to anybody.
type SetupError string

func (e SetupError) Error() string { return string(e) }

// The forms in which the service sends and reads text and times, whatever a role or a database has been given as its own. PgBouncer
// keeps both parameters apart for each client.
var sessionParams = map[string]string{"client_encoding": "UTF8", "datestyle": "ISO, MDY"}

func setSessionParams(cfg *pgx.ConnConfig) {
	for name, value := range sessionParams {
		for given := range cfg.RuntimeParams {
			if strings.EqualFold(given, name) {
				delete(cfg.RuntimeParams, given)
			}
		}
		cfg.RuntimeParams[name] = value
	}
}

// tables are those that the service uses, and functions what it calls. docs/operations.md has the commands that grant the rights.
const (
	tables = "audit_events, credentials, email_collisions, erasures, login_failures, login_networks, one_time_tokens, outbox," +
		" password_failures, roles, sessions, token_keys, token_mailboxes, user_roles, users"
	functions = "anonymize_audit_events(uuid); delete_expired_audit_events(interval, integer)"
)

// findSetup asks for the encoding, for the schema that is in use, and for the rights that are missing. What does not exist yet is a
// matter of migrations. The rights to the audit trail are those to read it and to add entries.
const findSetup = `
	SELECT current_setting('server_encoding'), coalesce(current_schema(), ''), coalesce((
		SELECT string_agg(privilege || ' on ' || name, '; ' ORDER BY name, privilege) FROM (
			SELECT name, privilege
			  FROM unnest(string_to_array($1, ', ')) AS t (name), unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS p (privilege)
			 WHERE NOT (name = 'audit_events' AND privilege IN ('UPDATE', 'DELETE'))
			   AND NOT has_table_privilege(to_regclass(name), privilege)
			 UNION ALL
			SELECT name, 'EXECUTE' FROM unnest(string_to_array($2, '; ')) AS f (name)
			 WHERE NOT has_function_privilege(to_regprocedure(name), 'EXECUTE')
			 UNION ALL
			SELECT 'goose_db_version', 'SELECT' WHERE NOT has_table_privilege(to_regclass('goose_db_version'), 'SELECT')
		) AS missing), '')`

// maxNamed is how many missing rights a SetupError names.
const maxNamed = 5

// CheckSetup returns a SetupError if the database is not one for the service, or another error if it does not answer.
func (db *DB) CheckSetup(ctx context.Context) error {
	var encoding, schema, missing string
	err := db.query(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, findSetup, tables, functions).Scan(&encoding, &schema, &missing)
	})
	switch {
	case err != nil:
		return wrap("check the setup", err)
	case encoding != "UTF8":
		return wrongEncoding(encoding)
	case schema == "":
		return SetupError("the service's role may use no schema of its search_path; grant it USAGE, or set a search_path")
	case missing != "":
		rights := strings.Split(missing, "; ")
		more := ""
		if n := len(rights) - maxNamed; n > 0 {
			rights, more = rights[:maxNamed], fmt.Sprintf(" and %d more", n)
		}
		return SetupError("the service's role lacks rights: " + strings.Join(rights, ", ") + more + "; grant them")
	}
	return nil
}

// wrongEncoding refuses a database whose text other programs would read as something else, or that can't store all names.
func wrongEncoding(encoding string) error {
	return SetupError("the database's encoding is " + encoding + "; create it with ENCODING 'UTF8'")
}

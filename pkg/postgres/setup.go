package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// SetupError describes what an operator must change in the database before the service can use it. It contains no secrets.
type SetupError string

func (e SetupError) Error() string { return string(e) }

// sessionParams are the formats of text and times that the service needs. They override settings of the role and the database.
// PgBouncer keeps both parameters separately for each client.
var sessionParams = map[string]string{"client_encoding": "UTF8", "datestyle": "ISO, MDY"}

// setSessionParams sets sessionParams. It replaces the values of the URL, whose names may be in another case.
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

// These are the tables and functions that the service uses. docs/operations.md has the commands that grant the privileges on them.
const (
	tables = "audit_events, credentials, email_collisions, erasures, factors, idempotency_keys, login_challenges, login_failures," +
		" login_networks, mails_sent, one_time_tokens, outbox, passkey_challenges, password_failures, recovery_codes, roles, sessions," +
		" token_keys, token_mailboxes, user_roles, users"
	functions = "anonymize_audit_events(uuid, integer); delete_expired_audit_events(interval, integer)"
)

// findSetup selects the encoding, the current schema and the missing privileges. It ignores tables and functions that do not exist yet,
// because migrations create them. On the audit trail, the service needs only SELECT and INSERT.
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

// maxNamed is the maximum number of missing privileges that a SetupError names.
const maxNamed = 5

// CheckSetup checks the encoding, the schema and the privileges. Errors: SetupError, Unavailable.
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
		privileges := strings.Split(missing, "; ")
		more := ""
		if n := len(privileges) - maxNamed; n > 0 {
			privileges, more = privileges[:maxNamed], fmt.Sprintf(" and %d more", n)
		}
		return SetupError("the service's role lacks privileges: " + strings.Join(privileges, ", ") + more + "; grant them")
	}
	return nil
}

// wrongEncoding returns the error for a database with another encoding than UTF-8. Such a database can't store all names, or other
// programs would misread its text.
func wrongEncoding(encoding string) error {
	return SetupError("the database's encoding is " + encoding + "; create it with ENCODING 'UTF8'")
}

package postgrestest

import (
	"fmt"
	"net/url"
	"testing"
)

// WithClock returns a URL for which the database's clock is wrong by an interval, such as "-1 day". The search_path of this URL begins
// with a schema that has its own functions now and clock_timestamp.
func WithClock(t testing.TB, dsn, wrong string) string {
	t.Helper()
	if err := execute(dsn, fmt.Sprintf(`
		CREATE SCHEMA wrong;
		CREATE FUNCTION wrong.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT pg_catalog.now() + interval '%[1]s' $$;
		CREATE FUNCTION wrong.clock_timestamp() RETURNS timestamptz LANGUAGE sql
			AS $$ SELECT pg_catalog.clock_timestamp() + interval '%[1]s' $$`, wrong)); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set("search_path", "wrong,pg_catalog,public")
	u.RawQuery = query.Encode()
	return u.String()
}

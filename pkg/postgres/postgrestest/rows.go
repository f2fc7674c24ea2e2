package postgrestest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Rows returns each row of each table as a line of JSON, without the tables in except. Tests search the lines for data of erased
// accounts.
func Rows(t testing.TB, dsn string, except ...string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	var lines []string
	for _, table := range tables(t, conn, except) {
		query := fmt.Sprintf(`SELECT $1 || ': ' || row_to_json(r)::text FROM %s r`, pgx.Identifier{table}.Sanitize())
		lines = append(lines, texts(t, conn, query, table)...)
	}
	return strings.Join(lines, "\n")
}

func tables(t testing.TB, conn *pgx.Conn, except []string) []string {
	t.Helper()
	const query = `SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' AND tablename <> ALL($1::text[])`
	return texts(t, conn, query, append([]string{}, except...))
}

func texts(t testing.TB, conn *pgx.Conn, query string, args ...any) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), query, args...)
	if err != nil {
		t.Fatal(err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return found
}

package postgrestest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Rows returns every row of every table as JSON, a line each, except those of the tables that are left out: what
// an erased account has left behind can be searched for in it.
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
	return texts(t, conn, `SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' AND tablename <> ALL($1::text[])`, append([]string{}, except...))
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

package postgres

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Reset closes all connections, so that the next query needs a new one.
func (db *DB) Reset() {
	db.replace()
	db.probe.drop()
}

// Probe queries through the connection that is reserved for readiness, not through the pool.
func (db *DB) Probe(ctx context.Context) error {
	return db.probe.query(ctx, func(ctx context.Context, conn *pgx.Conn) error { return conn.Ping(ctx) })
}

// HashCostsQuery is the query that reads the imported hashes.
var HashCostsQuery = hashCostsQuery

// Tables are the tables on which the service's role needs privileges.
var Tables = strings.Split(tables, ", ")

// Everywhere runs an SQL statement on each idle connection of both pools.
func (db *DB) Everywhere(t *testing.T, sql string) {
	t.Helper()
	for _, conn := range append(db.pool.conns.AcquireAllIdle(t.Context()), db.logins.conns.AcquireAllIdle(t.Context())...) {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Error(err)
		}
		conn.Release()
	}
}

package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// MinServerVersion is the minimum major version of PostgreSQL.
const MinServerVersion = 14

// ServerState describes the server of the database.
type ServerState struct {
	Version  string // such as 15.6
	Major    int
	ReadOnly bool // a new transaction may not write, as on a replica
	Now      time.Time
}

// ServerState reads the state of the server. Errors: Unavailable.
func (db *DB) ServerState(ctx context.Context) (s ServerState, err error) {
	err = db.query(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000,
			current_setting('transaction_read_only')::bool, clock_timestamp()`).Scan(&s.Version, &s.Major, &s.ReadOnly, &s.Now)
	})
	return s, wrap("read the state of the server", err)
}

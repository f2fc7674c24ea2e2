package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"user-service/pkg/user"
)

// costOf is the part of a password hash, of whatever format, that tells its cost: what comes before the salt. Regular
// expressions would take five times as long.
const costOf = `CASE
	WHEN @ LIKE '$argon2%' THEN '$' || split_part(@, '$', 2) || '$' || split_part(@, '$', 3) || '$' || split_part(@, '$', 4)
	WHEN @ LIKE 'pbkdf2%' THEN split_part(@, '$', 1) || '$' || split_part(@, '$', 2)
	ELSE '$' || split_part(@, '$', 2) || '$' || split_part(@, '$', 3) END`

var hashCostsQuery = `SELECT coalesce(` + strings.ReplaceAll(costOf, "@", "imported_prefix") + `, cost), cost, count(*)
	FROM (SELECT imported_prefix, ` + strings.ReplaceAll(costOf, "@", "password_hash") + ` AS cost FROM credentials) AS c
	GROUP BY 1, 2`

// HashCosts implements user.Store. It reads all credentials. The error is Unavailable only if the database is: not if
// there are more credentials than are read in the time of a statement, or of ctx.
func (db *DB) HashCosts(ctx context.Context) ([]user.HashCost, error) {
	const doing = "count the costs of password hashes"
	conn, err := db.pool.Acquire(ctx)
	if err != nil {
		return nil, failed(doing, err)
	}
	defer conn.Release()
	rows, _ := conn.Query(ctx, hashCostsQuery) // its error is that of the rows
	counts, err := pgx.CollectRows(rows, pgx.RowToStructByPos[user.HashCost])
	var server *pgconn.PgError
	const canceled = "57014"
	if errors.As(err, &server) && server.Code == canceled || ctx.Err() != nil {
		return nil, fmt.Errorf(doing+": %w", err)
	}
	return counts, failed(doing, err)
}

package postgres

import (
	"bytes"
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/pkg/user"
)

// costOf is the part of a password hash, of whatever format, that tells its cost: what comes before the salt. Regular
// expressions would take five times as long.
const costOf = `CASE
	WHEN @ LIKE '$argon2%' THEN '$' || split_part(@, '$', 2) || '$' || split_part(@, '$', 3) || '$' || split_part(@, '$', 4)
	WHEN @ LIKE 'pbkdf2%' THEN split_part(@, '$', 1) || '$' || split_part(@, '$', 2)
	ELSE '$' || split_part(@, '$', 2) || '$' || split_part(@, '$', 3) END`

// costBatch is how many imported hashes one statement reads: those of some tens of milliseconds, so that no timeout of
// statements is too short, however many there are.
const costBatch = 10_000

// costTimeout is for one statement.
const costTimeout = 30 * time.Second

var hashCostsQuery = `SELECT ` + strings.ReplaceAll(costOf, "@", "imported_prefix") + `,
		` + strings.ReplaceAll(costOf, "@", "password_hash") + `,
		count(*), max(user_id::text COLLATE "C")
	FROM (SELECT user_id, imported_prefix, password_hash FROM credentials
		WHERE imported_prefix IS NOT NULL AND user_id > $1 ORDER BY user_id LIMIT $2) AS batch
	GROUP BY 1, 2`

// HashCosts implements user.Store. It reads the hashes of imported accounts alone, by an index of those. How many accounts there are is
// counted, by the index of the primary key, and only if some were imported: an estimate rises and falls, and so would the
// cost of an unknown email, which that of an account does not.
func (db *DB) HashCosts(ctx context.Context) ([]user.HashCost, error) {
	sums := make(map[user.HashCost]int64) // by costs; their Accounts are zero
	var imported int64
	for last, more := uuid.Nil, true; more; {
		found, err := db.hashCostsAfter(ctx, &last, sums)
		if err != nil {
			return nil, wrap("count the costs of imported password hashes", err)
		}
		imported += found
		more = found == costBatch
	}
	if imported == 0 {
		return nil, nil
	}
	total, err := db.countCredentials(ctx)
	if err != nil {
		return nil, wrap("count the password hashes", err)
	}
	out := []user.HashCost{{Accounts: max(total-imported, 0)}}
	for cost, n := range sums {
		cost.Accounts = n
		out = append(out, cost)
	}
	return out, nil
}

// hashCostsAfter adds the imported hashes of the next users to the sums, moves last to the last of these users, and returns
// how many they are.
func (db *DB) hashCostsAfter(ctx context.Context, last *uuid.UUID, sums map[user.HashCost]int64) (found int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, costTimeout)
	defer cancel()
	type group struct {
		cost     user.HashCost
		n        int64
		greatest uuid.UUID
	}
	groups, err := collect(ctx, db.pool, func(row pgx.CollectableRow) (g group, err error) {
		return g, row.Scan(&g.cost.Imported, &g.cost.Current, &g.n, &g.greatest)
	}, hashCostsQuery, *last, costBatch)
	for _, g := range groups {
		sums[g.cost] += g.n
		found += g.n
		if bytes.Compare(g.greatest[:], last[:]) > 0 {
			*last = g.greatest
		}
	}
	return found, err
}

func (db *DB) countCredentials(ctx context.Context) (n int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, costTimeout)
	defer cancel()
	err = db.pool.QueryRow(ctx, `SELECT count(*) FROM credentials`).Scan(&n)
	return n, err
}

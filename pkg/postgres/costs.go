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

// hashParams is an SQL expression for the part of a password hash that determines its cost: the format and the parameters before the
// salt. @ stands for the hash. Regular expressions would take five times as long.
const hashParams = `CASE
	WHEN @ LIKE '$argon2%' THEN '$' || split_part(@, '$', 2) || '$' || split_part(@, '$', 3) || '$' || split_part(@, '$', 4)
	WHEN @ LIKE 'pbkdf2%' THEN split_part(@, '$', 1) || '$' || split_part(@, '$', 2)
	ELSE '$' || split_part(@, '$', 2) || '$' || split_part(@, '$', 3) END`

// costBatch is the number of imported hashes that one statement reads. The statement takes a few tens of milliseconds, so that even a
// short statement_timeout does not end it.
const costBatch = 10_000

// costTimeout bounds one statement.
const costTimeout = 30 * time.Second

var hashCostsQuery = `SELECT ` + strings.ReplaceAll(hashParams, "@", "imported_prefix") + `,
		` + strings.ReplaceAll(hashParams, "@", "password_hash") + `,
		count(*), max(user_id::text COLLATE "C")
	FROM (SELECT user_id, imported_prefix, password_hash FROM credentials
		WHERE imported_prefix IS NOT NULL AND user_id > $1 ORDER BY user_id LIMIT $2) AS batch
	GROUP BY 1, 2`

// HashCosts implements user.Store. It reads only the hashes of imported accounts, which have their own index. If there are imported
// accounts, it also counts all accounts with a password, through two indexes. It does not use PostgreSQL's estimate of this number, because
// the estimate varies. So would the cost of a login with an unknown email, unlike the cost with a known email.
func (db *DB) HashCosts(ctx context.Context) ([]user.HashCost, error) {
	sums := make(map[user.HashCost]int64) // the number of accounts for each cost; in the keys, the field Accounts is zero
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

// hashCostsAfter reads the imported hashes of up to costBatch users, those with the lowest ids above last. It adds their numbers to sums,
// sets last to the greatest of these ids, and returns the number of hashes.
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

// countCredentials returns the number of accounts with a password.
func (db *DB) countCredentials(ctx context.Context) (n int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, costTimeout)
	defer cancel()
	err = db.pool.QueryRow(ctx, `SELECT count(*) - (SELECT count(*) FROM credentials WHERE password_hash = '') FROM credentials`).Scan(&n)
	return n, err
}

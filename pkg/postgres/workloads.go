package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"user-service/pkg/access"
)

// workloadQuery selects which of the roles $1 exist, and the permissions that they give to a workload. Separately, it selects the roles
// that require a second factor, which give it no permissions. It always returns one row.
const workloadQuery = `
	SELECT ARRAY(SELECT name FROM roles WHERE name = ANY($1::text[]) ORDER BY name COLLATE "C"),
		ARRAY(SELECT DISTINCT p COLLATE "C" FROM roles r, unnest(r.permissions) p 
			WHERE r.name = ANY($1::text[]) AND NOT r.second_factor ORDER BY 1),
		ARRAY(SELECT name FROM roles WHERE name = ANY($1::text[]) AND second_factor)`

// IdentifyWorkload implements user.Store.
func (db *DB) IdentifyWorkload(ctx context.Context, sub string, roles []string) (access.Caller, error) {
	caller, err := scanWorkload(db.pool.QueryRow(ctx, workloadQuery, roles), sub)
	return caller, wrap("identify a workload", err)
}

func scanWorkload(row pgx.Row, sub string) (access.Caller, error) {
	caller := access.Caller{Workload: sub}
	err := row.Scan(&caller.Roles, &caller.Permissions, &caller.Withheld.Roles)
	return caller, err
}

package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/pkg/user"
)

// Users implements user.Store. The query contains only the conditions that the filter sets, so that PostgreSQL plans each combination
// separately.
func (db *DB) Users(ctx context.Context, f user.Filter) (user.Page, error) {
	query, args := listQuery(f)
	users, err := collectPage(ctx, db.pool, func(row pgx.CollectableRow) (user.User, error) { return scanUser(row) }, query, args...)
	if err != nil {
		return user.Page{}, wrap("list users", err)
	}
	if len(users) > f.Limit {
		return user.Page{Users: users[:f.Limit], More: true}, nil
	}
	return user.Page{Users: users}, nil
}

// listQuery returns the query that lists users. The query asks for one user more than f.Limit, to find out whether more users exist.
func listQuery(f user.Filter) (query string, args []any) {
	var where []string
	arg := func(value any) string {
		args = append(args, value)
		return fmt.Sprintf("$%d", len(args))
	}
	if f.After != uuid.Nil {
		where = append(where, "u.id > "+arg(f.After))
	}
	if f.Email != "" {
		where = append(where, "u.email_key = "+arg(user.EmailKey(f.Email)))
	}
	if f.Status != "" {
		where = append(where, "u.status = "+arg(f.Status))
	}
	if f.Role != "" {
		holders := "SELECT ur.user_id FROM user_roles ur WHERE ur.role = " + arg(f.Role)
		if f.After != uuid.Nil {
			holders += " AND ur.user_id > " + arg(f.After) // without this condition PostgreSQL reads all earlier pages
		}
		where = append(where, "u.id IN ("+holders+")")
	}
	if f.Prefix != "" {
		email, name := user.EmailKey(f.Prefix), user.Fold(f.Prefix)
		where = append(where, fmt.Sprintf("(u.email_key >= %s AND u.email_key < %s OR u.name_key >= %s AND u.name_key < %s)",
			arg(email), arg(email+"\U0010FFFF"), arg(name), arg(name+"\U0010FFFF")))
	}
	query = `SELECT ` + userColumns + ` FROM users u`
	if len(where) > 0 {
		query += ` WHERE ` + strings.Join(where, " AND ")
	}
	return query + ` ORDER BY u.id LIMIT ` + arg(f.Limit+1), args
}

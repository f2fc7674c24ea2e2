package postgres

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/pkg/user"
)

// Users implements user.Store. The query contains only the conditions that the filter sets, so that PostgreSQL plans each combination
// separately.
func (db *DB) Users(ctx context.Context, f user.Filter) (user.Page, error) {
	if user.EmailKey(f.Prefix) == "" { // every user matches
		f.Prefix = ""
	}
	var among []uuid.UUID
	if f.Prefix != "" && f.Email == "" {
		var err error
		if among, err = db.candidates(ctx, f); err != nil {
			return user.Page{}, wrap("search users", err)
		}
		if len(among) == 0 {
			return user.Page{}, nil
		}
	}
	query, args := listQuery(f, among)
	users, err := collectPage(ctx, db.pool, func(row pgx.CollectableRow) (user.User, error) { return scanUser(row) }, query, args...)
	if err != nil {
		return user.Page{}, wrap("list users", err)
	}
	if len(users) > f.Limit {
		return user.Page{Users: users[:f.Limit], More: true}, nil
	}
	return user.Page{Users: users}, nil
}

// listQuery returns the query that lists users, all or those with an id in among. The query asks for one user more than f.Limit, to find
// out whether more users exist.
//
// For a role or a status, an index has the order of the list. The conditions and the order name both columns of this index. With an
// equality, PostgreSQL would ignore the first column in the order. It might then read all users in the order of the primary key, because
// many users match. If these are all at the end, that takes long. The limit is not a parameter, because a generic plan would expect a tenth
// of all rows, and sort them.
func listQuery(f user.Filter, among []uuid.UUID) (query string, args []any) {
	var where []string
	arg := func(value any) string {
		args = append(args, value)
		return fmt.Sprintf("$%d", len(args))
	}
	from, order := "users u", "u.id"
	along := func(first, id, value string) {
		v := arg(value)
		where = append(where, fmt.Sprintf("(%s, %s) > (%s, %s) AND %[1]s <= %[3]s", first, id, v, arg(f.After)))
		order = first + ", " + id
	}
	byStatus, byRole := f.Status != "", f.Role != ""
	switch {
	case among != nil:
		ids := make([]string, len(among))
		for i, id := range among {
			ids[i] = id.String()
		}
		where = append(where, "u.id = ANY("+arg(ids)+"::uuid[])")
	case f.Email != "":
		where = append(where, "u.email_key = "+arg(user.EmailKey(f.Email)))
	case byRole:
		from, byRole = "user_roles ur JOIN users u ON u.id = ur.user_id", false
		along("ur.role", "ur.user_id", f.Role)
	case byStatus:
		byStatus = false
		along("u.status", "u.id", string(f.Status))
	}
	if f.After != uuid.Nil && order == "u.id" {
		where = append(where, "u.id > "+arg(f.After))
	}
	if byStatus {
		where = append(where, "u.status = "+arg(f.Status))
	}
	if byRole {
		where = append(where, hasRole(arg(f.Role)))
	}
	if f.Prefix != "" { // substr, because an index of the prefix would find more users than among has
		email, name := user.EmailKey(f.Prefix), user.Fold(f.Prefix)
		where = append(where, fmt.Sprintf("(substr(u.email_key, 1, %s::integer) = %s OR substr(u.name_key, 1, %s::integer) = %s)",
			arg(utf8.RuneCountInString(email)), arg(email), arg(utf8.RuneCountInString(name)), arg(name)))
	}
	query = `SELECT ` + userColumns + ` FROM ` + from
	if len(where) > 0 {
		query += ` WHERE ` + strings.Join(where, " AND ")
	}
	return query + fmt.Sprintf(` ORDER BY %s LIMIT %d`, order, f.Limit+1), args
}

// hasRole returns the condition that the user u has a role. PostgreSQL runs the subquery for each user, because it is a value. As a
// condition with EXISTS, it might read all holders of the role.
func hasRole(role string) string {
	return "(SELECT true FROM user_roles ur WHERE ur.user_id = u.id AND ur.role = " + role + ")"
}

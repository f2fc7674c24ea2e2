package postgres

import (
	"context"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/pkg/user"
)

const (
	// indexedLength is the length in characters of the longest prefix that has an index in the order of the ids (migration 24).
	indexedLength = 3
	// fewRows is the number of rows up to which a search reads and sorts all rows of a condition.
	fewRows = 1000
	// maxWalk is the maximum number of users with the same first characters that a search reads in the order of their ids. After that, it
	// reads all users with the whole prefix.
	maxWalk = 20_000
)

// prefixSearch finds the ids of users whose email or name begins with a text, in the order of the ids.
//
// For a prefix of up to three characters, it reads one page of an index. A longer prefix has no index in the order of the ids. Then it
// reads either the users with the whole prefix or those with its first three characters, whichever takes less.
type prefixSearch struct {
	pool   *pool
	filter user.Filter
	column string // email_key or name_key
	prefix string // in the form of the column
}

// candidates returns the ids of all users that can be on the page of f. Users without one of the conditions of f can be among them.
// f.Prefix must not be empty.
func (db *DB) candidates(ctx context.Context, f user.Filter) ([]uuid.UUID, error) {
	if f.Role != "" {
		holders, all, err := few(ctx, db.pool, `SELECT user_id FROM user_roles WHERE role = $1 ORDER BY role, user_id`, f.Role)
		if all || err != nil {
			return holders, err
		}
	}
	var ids []uuid.UUID
	for _, s := range []prefixSearch{
		{db.pool, f, "email_key", user.EmailKey(f.Prefix)},
		{db.pool, f, "name_key", user.Fold(f.Prefix)},
	} {
		found, err := s.ids(ctx)
		if err != nil {
			return nil, err
		}
		ids = append(ids, found...)
	}
	return ids, nil
}

// few returns the ids that a query returns, and whether these are all. It reads up to fewRows rows.
func few(ctx context.Context, p *pool, query string, args ...any) (ids []uuid.UUID, all bool, err error) {
	ids, err = collect(ctx, p, pgx.RowTo[uuid.UUID], fmt.Sprintf(`%s LIMIT %d`, query, fewRows+1), args...)
	return ids, len(ids) <= fewRows, err
}

// ids returns the ids of one column's matching users.
func (s prefixSearch) ids(ctx context.Context) ([]uuid.UUID, error) {
	if utf8.RuneCountInString(s.prefix) <= indexedLength {
		return s.page(ctx)
	}
	// The order makes PostgreSQL use the index of the whole column.
	ids, all, err := few(ctx, s.pool, fmt.Sprintf(`SELECT u.id FROM users u WHERE %s ORDER BY u.%s`, s.condition(1, 2), s.column),
		s.prefix, s.end())
	if all || err != nil {
		return ids, err
	}
	if ids, all, err = s.walk(ctx); all || err != nil {
		return ids, err
	}
	return s.sort(ctx)
}

// condition returns the condition that the column begins with the prefix. The arguments are the numbers of the parameters with the values
// prefix and end.
func (s prefixSearch) condition(prefix, end int) string {
	return fmt.Sprintf("u.%[1]s >= $%[2]d AND u.%[1]s < $%[3]d", s.column, prefix, end)
}

// end returns the first text after all texts that begin with the prefix.
func (s prefixSearch) end() string { return s.prefix + "\U0010FFFF" }

// page reads one page of the users with the prefix, which has an index in the order of the ids.
func (s prefixSearch) page(ctx context.Context) ([]uuid.UUID, error) {
	filters, args := s.filters([]any{s.prefix, s.filter.After})
	query := s.sameBeginning("u.id", utf8.RuneCountInString(s.prefix), filters) + fmt.Sprintf(` LIMIT %d`, s.filter.Limit+1)
	return collect(ctx, s.pool, pgx.RowTo[uuid.UUID], query, args...)
}

// sameBeginning returns the query for columns of the users with the same first characters, in the order of their ids. The first parameter
// has these characters, and the second one the id before the first user. The query names both columns of the index, for the reason at
// listQuery.
func (s prefixSearch) sameBeginning(columns string, length int, filters string) string {
	return fmt.Sprintf(`
		SELECT %[4]s FROM users u
		WHERE (left(u.%[1]s, %[2]d), u.id) > ($1, $2) AND left(u.%[1]s, %[2]d) <= $1 AND u.%[1]s IS NOT NULL%[3]s
		ORDER BY left(u.%[1]s, %[2]d), u.id`, s.column, length, filters, columns)
}

// walk reads up to maxWalk users with the same first characters in the order of their ids. It stops after a page of users with the whole
// prefix, and reports whether the page is complete.
func (s prefixSearch) walk(ctx context.Context) (ids []uuid.UUID, complete bool, err error) {
	args := []any{string([]rune(s.prefix)[:indexedLength]), s.filter.After}
	columns := fmt.Sprintf("u.id, u.status, u.%[1]s, left(u.%[1]s, %[2]d) AS first", s.column, indexedLength)
	source := s.sameBeginning(columns, indexedLength, "")
	filters, all := s.filters(append(slices.Clone(args), s.prefix, s.end()))
	query := fmt.Sprintf(`SELECT u.id FROM (%s LIMIT %d) AS u WHERE %s%s ORDER BY u.first, u.id LIMIT %d`,
		source, maxWalk, s.condition(3, 4), filters, s.filter.Limit+1)
	ids, err = collect(ctx, s.pool, pgx.RowTo[uuid.UUID], query, all...)
	if err != nil || len(ids) > s.filter.Limit {
		return ids, true, err
	}
	query = s.sameBeginning("u.id", indexedLength, "") + fmt.Sprintf(` OFFSET %d LIMIT 1`, maxWalk)
	further, err := collect(ctx, s.pool, pgx.RowTo[uuid.UUID], query, args...)
	return ids, len(further) == 0, err
}

// sort reads all users with the prefix, and sorts them by id.
func (s prefixSearch) sort(ctx context.Context) ([]uuid.UUID, error) {
	filters, args := s.filters([]any{s.filter.After, s.prefix, s.end()})
	// With OFFSET 0, PostgreSQL does not use the order of the primary key to find the users of the subquery.
	query := fmt.Sprintf(`
		SELECT u.id FROM (SELECT u.id, u.status FROM users u WHERE %s AND u.id > $1 OFFSET 0) AS u
		WHERE true%s ORDER BY u.id LIMIT %d`, s.condition(2, 3), filters, s.filter.Limit+1)
	return collect(ctx, s.pool, pgx.RowTo[uuid.UUID], query, args...)
}

// filters returns the conditions of the role and the status, each after an AND, and all arguments of the query.
func (s prefixSearch) filters(args []any) (conditions string, all []any) {
	if s.filter.Status != "" {
		args = append(args, s.filter.Status)
		conditions += fmt.Sprintf(" AND u.status = $%d", len(args))
	}
	if s.filter.Role != "" {
		args = append(args, s.filter.Role)
		conditions += " AND " + hasRole(fmt.Sprintf("$%d", len(args)))
	}
	return conditions, args
}

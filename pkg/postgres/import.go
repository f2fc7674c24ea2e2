package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/pkg/event"
	"user-service/pkg/user"
)

// errDryRun rolls a transaction back that did what it should.
var errDryRun = errors.New("dry run")

// Import implements user.Store.
func (db *DB) Import(ctx context.Context, accounts []user.NewAccount, dryRun bool) (created int, taken []int, err error) {
	err = db.inTx(ctx, "import users", func(tx pgx.Tx) error {
		stored, err := importAccounts(ctx, tx, accounts)
		if err != nil {
			return err
		}
		created = len(stored)
		if taken, err = takenIDs(ctx, tx, accounts); err == nil && dryRun {
			return errDryRun
		}
		return err
	})
	switch {
	case errors.Is(err, errDryRun):
		return created, taken, nil
	case err != nil:
		return 0, nil, err
	}
	db.committed()
	return created, taken, nil
}

// takenIDs returns the indexes of the accounts whose id belongs to one with another email.
func takenIDs(ctx context.Context, tx pgx.Tx, accounts []user.NewAccount) ([]int, error) {
	rows, err := tx.Query(ctx, `
		SELECT place::int - 1 FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS given (id, email_key, place)
		  JOIN users u ON u.id = given.id::uuid AND u.email_key <> given.email_key ORDER BY place`,
		ids(accounts), column(accounts, func(a user.NewAccount) string { return user.EmailKey(a.User.Email) }))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int])
}

// importAccounts stores the accounts whose email and id are free with all that belongs to them, and
// returns those.
func importAccounts(ctx context.Context, tx pgx.Tx, accounts []user.NewAccount) ([]user.NewAccount, error) {
	stored, err := importUsers(ctx, tx, accounts)
	if err != nil {
		return nil, fmt.Errorf("store the users: %w", err)
	}
	if err := importCredentials(ctx, tx, stored); err != nil {
		return nil, fmt.Errorf("store the credentials: %w", err)
	}
	if err := importRoles(ctx, tx, stored); err != nil {
		return nil, fmt.Errorf("store the roles: %w", err)
	}
	if err := importEvents(ctx, tx, stored); err != nil {
		return nil, fmt.Errorf("append to the outbox: %w", err)
	}
	entries := make([]user.Audit, len(stored))
	for i, a := range stored {
		entries[i] = user.Created(a.User)
	}
	return stored, appendAudit(ctx, tx, entries...)
}

// importUsers stores users, in the order of their emails, so that two imports that run at
// once wait for each other and never in a circle. Of two with the same email the first wins; of two with the same id, that with the
// lower key of its email.
func importUsers(ctx context.Context, tx pgx.Tx, accounts []user.NewAccount) ([]user.NewAccount, error) {
	text := func(of func(user.User) string) []string {
		return column(accounts, func(a user.NewAccount) string { return of(a.User) })
	}
	rows, err := tx.Query(ctx, `
		INSERT INTO users (id, email, email_key, email_verified, name, name_key, picture, locale, zoneinfo, metadata,
			status, version, created_at, updated_at)
		SELECT id::uuid, email, email_key, email_verified, nullif(name, ''), nullif(name_key, ''), nullif(picture, ''),
			nullif(locale, ''), nullif(zoneinfo, ''), nullif(metadata, '')::json, status, version, created_at, updated_at
		FROM unnest($1::text[], $2::text[], $3::text[], $4::bool[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
				$10::text[], $11::text[], $12::bigint[], $13::timestamptz[], $14::timestamptz[])
			WITH ORDINALITY AS given (id, email, email_key, email_verified, name, name_key, picture, locale, zoneinfo,
				metadata, status, version, created_at, updated_at, place)
		ORDER BY email_key COLLATE "C", place
		ON CONFLICT DO NOTHING
		RETURNING id, email_key`,
		ids(accounts),
		text(func(u user.User) string { return u.Email }),
		text(func(u user.User) string { return user.EmailKey(u.Email) }),
		column(accounts, func(a user.NewAccount) bool { return a.User.EmailVerified }),
		text(func(u user.User) string { return u.Name }),
		text(func(u user.User) string { return user.Fold(u.Name) }),
		text(func(u user.User) string { return u.Picture }),
		text(func(u user.User) string { return u.Locale }),
		text(func(u user.User) string { return u.Zoneinfo }),
		text(func(u user.User) string { return string(u.Metadata) }),
		text(func(u user.User) string { return string(u.Status) }),
		column(accounts, func(a user.NewAccount) int64 { return a.User.Version }),
		column(accounts, func(a user.NewAccount) time.Time { return a.User.CreatedAt }),
		column(accounts, func(a user.NewAccount) time.Time { return a.User.UpdatedAt }))
	if err != nil {
		return nil, err
	}
	type stored struct {
		ID       uuid.UUID
		EmailKey string
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[stored])
	if err != nil {
		return nil, err
	}
	isStored := make(map[stored]bool, len(found))
	for _, s := range found {
		isStored[s] = true
	}
	return slices.DeleteFunc(slices.Clone(accounts), func(a user.NewAccount) bool {
		s := stored{a.User.ID, user.EmailKey(a.User.Email)}
		keep := isStored[s]
		delete(isStored, s) // the same line may be there twice
		return !keep
	}), nil
}

func importCredentials(ctx context.Context, tx pgx.Tx, accounts []user.NewAccount) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO credentials (user_id, password_hash, changed_at, imported_prefix)
		SELECT id::uuid, hash, at, prefix FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[]) AS given (id, hash, at, prefix)`,
		ids(accounts),
		column(accounts, func(a user.NewAccount) string { return a.PasswordHash }),
		column(accounts, func(a user.NewAccount) time.Time { return a.User.UpdatedAt }),
		column(accounts, func(a user.NewAccount) string { return a.HashPrefix }))
	return err
}

func importRoles(ctx context.Context, tx pgx.Tx, accounts []user.NewAccount) error {
	var users, roles []string
	for _, a := range accounts {
		for _, role := range a.User.Roles {
			users, roles = append(users, a.User.ID.String()), append(roles, role)
		}
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO user_roles (user_id, role)
		SELECT id::uuid, role FROM unnest($1::text[], $2::text[]) AS given (id, role)`, users, roles)
	return err
}

// importEvents is appendEvents for many: they belong to no request, so no trace goes with them.
func importEvents(ctx context.Context, tx pgx.Tx, accounts []user.NewAccount) error {
	text := func(of func(event.Event) string) []string {
		return column(accounts, func(a user.NewAccount) string { return of(a.Created) })
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO outbox (event_id, type, subject, sequence, occurred_at, data)
		SELECT event_id::uuid, type, subject::uuid, sequence, at, data::json
		FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[], $6::text[])
			WITH ORDINALITY AS given (event_id, type, subject, sequence, at, data, place)
		ORDER BY place`,
		text(func(e event.Event) string { return e.ID.String() }),
		text(func(e event.Event) string { return string(e.Type) }),
		text(func(e event.Event) string { return e.Subject.String() }),
		column(accounts, func(a user.NewAccount) int64 { return a.Created.UserVersion }),
		column(accounts, func(a user.NewAccount) time.Time { return a.Created.Time }),
		text(func(e event.Event) string { return string(e.Data) }))
	return err
}

func ids(accounts []user.NewAccount) []string {
	return column(accounts, func(a user.NewAccount) string { return a.User.ID.String() })
}

// column is one member of each account, as a parameter for unnest.
func column[T any](accounts []user.NewAccount, of func(user.NewAccount) T) []T {
	out := make([]T, len(accounts))
	for i, a := range accounts {
		out[i] = of(a)
	}
	return out
}

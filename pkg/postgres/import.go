package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"user-service/pkg/event"
	"user-service/pkg/user"
)

// errDryRun rolls back the transaction of a dry run.
var errDryRun = errors.New("dry run")

// Import implements user.Store.
func (db *DB) Import(ctx context.Context, accounts []user.NewAccount, dryRun bool) (created int, taken []int, err error) {
	err = db.inTx(ctx, "import users", func(tx *transaction) error {
		created, err = importAccounts(ctx, tx, accounts)
		if err != nil {
			return err
		}
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
	return created, taken, nil
}

// takenIDs returns the indexes of the accounts whose id belongs to a user with another email.
func takenIDs(ctx context.Context, tx pgx.Tx, accounts []user.NewAccount) ([]int, error) {
	ids, keys := make([]string, len(accounts)), make([]string, len(accounts))
	for i, a := range accounts {
		ids[i], keys[i] = a.User.ID.String(), user.EmailKey(a.User.Email)
	}
	rows, err := tx.Query(ctx, `
		SELECT place::int - 1 FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS given (id, email_key, place)
		  JOIN users u ON u.id = given.id::uuid AND u.email_key <> given.email_key ORDER BY place`, ids, keys)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int])
}

// importAccounts stores the accounts whose email and id do not exist yet, with the same statements as Create. It returns the number of
// stored accounts.
func importAccounts(ctx context.Context, tx *transaction, accounts []user.NewAccount) (created int, err error) {
	stored, err := importUsers(ctx, tx, accounts)
	if err != nil {
		return 0, fmt.Errorf("store the users: %w", err)
	}
	var batch pgx.Batch
	for i, a := range accounts {
		if !stored[i] {
			continue
		}
		created++
		if err := tx.queueNewAccount(ctx, &batch, a, user.Change{Events: []event.Event{a.Created}}); err != nil {
			return 0, err
		}
	}
	if created == 0 {
		return 0, nil
	}
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return 0, fmt.Errorf("store the accounts: %w", constraintError(err))
	}
	return created, nil
}

// importUsers stores users, and reports for each account whether its user was stored. It sorts the users by email key, so that two
// concurrent imports can't deadlock. Of two users with the same email, it stores the one that comes first in accounts.
func importUsers(ctx context.Context, tx pgx.Tx, accounts []user.NewAccount) (stored []bool, err error) {
	stored = make([]bool, len(accounts))
	order := make([]int, len(accounts))
	args := make([]pgx.NamedArgs, len(accounts))
	for i, a := range accounts {
		order[i], args[i] = i, userArgs(a.User)
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return strings.Compare(args[a]["email_key"].(string), args[b]["email_key"].(string))
	})
	var batch pgx.Batch
	for _, i := range order {
		batch.Queue(insertUser, args[i]).Exec(func(tag pgconn.CommandTag) error {
			stored[i] = tag.RowsAffected() > 0
			return nil
		})
	}
	return stored, tx.SendBatch(ctx, &batch).Close()
}

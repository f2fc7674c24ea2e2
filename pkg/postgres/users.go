package postgres

import (
	"cmp"
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype/zeronull"

	"user-service/pkg/access"
	"user-service/pkg/user"
)

// userFields are the columns of the table users that hold the fields of a user.User. The statements that write and read users are built
// from this list.
var userFields = []userField{
	{"id", func(u *user.User) any { return &u.ID }},
	{"email", func(u *user.User) any { return &u.Email }},
	{"email_verified", func(u *user.User) any { return &u.EmailVerified }},
	{"name", func(u *user.User) any { return (*zeronull.Text)(&u.Name) }},
	{"picture", func(u *user.User) any { return (*zeronull.Text)(&u.Picture) }},
	{"locale", func(u *user.User) any { return (*zeronull.Text)(&u.Locale) }},
	{"zoneinfo", func(u *user.User) any { return (*zeronull.Text)(&u.Zoneinfo) }},
	{"metadata", func(u *user.User) any { return (*nullJSON)(&u.Metadata) }},
	{"status", func(u *user.User) any { return (*string)(&u.Status) }},
	{"version", func(u *user.User) any { return &u.Version }},
	{"created_at", func(u *user.User) any { return &u.CreatedAt }},
	{"updated_at", func(u *user.User) any { return &u.UpdatedAt }},
}

// userField is a column of users and the field of user.User that it holds.
type userField struct {
	name string // the name of the column and of the statement's argument
	// in returns a pointer to the value in u: the argument of a statement that writes the column, and the target of a scan.
	in func(u *user.User) any
}

// eachColumn returns a list for SQL that contains format for each column. In format, % stands for the name of the column. The columns in
// without are omitted.
func eachColumn(format string, without ...string) string {
	var all []string
	for _, c := range userFields {
		if !slices.Contains(without, c.name) {
			all = append(all, strings.ReplaceAll(format, "%", c.name))
		}
	}
	return strings.Join(all, ", ")
}

var (
	// profileColumns are the columns of users u with the targets of profileTargets.
	profileColumns = eachColumn("u.%")

	// userColumns are the columns of users u that scanUser reads.
	userColumns = profileColumns + `,
		ARRAY(SELECT ur.role FROM user_roles ur WHERE ur.user_id = u.id ORDER BY ur.role COLLATE "C")`

	// insertUser stores a user if the email and the id are free. ON CONFLICT prevents an error for a taken email, because PostgreSQL
	// would log the email with this error.
	insertUser = `INSERT INTO users (` + eachColumn("%") + `, email_key, name_key)
		VALUES (` + eachColumn("@%") + `, @email_key, nullif(@name_key, '')) ON CONFLICT DO NOTHING`

	// updateUser stores all changes of a user except a new email, which setEmail stores.
	updateUser = `UPDATE users SET ` + eachColumn("% = @%", "id", "email", "created_at") + `, name_key = nullif(@name_key, '') WHERE id = @id`
)

// userArgs returns the arguments of insertUser and updateUser.
func userArgs(u user.User) pgx.NamedArgs {
	args := pgx.NamedArgs{"email_key": user.EmailKey(u.Email), "name_key": user.Fold(u.Name)}
	for _, c := range userFields {
		args[c.name] = c.in(&u)
	}
	return args
}

// scanUser reads userColumns into a user, and the columns that follow into more.
func scanUser(row pgx.Row, more ...any) (user.User, error) {
	var u user.User
	if err := row.Scan(append(append(profileTargets(&u), &u.Roles), more...)...); err != nil {
		return user.User{}, err
	}
	u.CreatedAt, u.UpdatedAt = u.CreatedAt.UTC(), u.UpdatedAt.UTC()
	return u, nil
}

// profileTargets returns the targets of profileColumns in a user, with room for more targets.
func profileTargets(u *user.User) []any {
	targets := make([]any, 0, len(userFields)+10)
	for _, c := range userFields {
		targets = append(targets, c.in(u))
	}
	return targets
}

// nullJSON is a JSON document whose bytes are stored and read unchanged. Nil is NULL.
type nullJSON json.RawMessage

// Value implements driver.Valuer.
func (j nullJSON) Value() (driver.Value, error) {
	if j == nil {
		return nil, nil
	}
	return string(j), nil
}

// Scan implements sql.Scanner.
func (j *nullJSON) Scan(value any) error {
	switch value := value.(type) {
	case nil:
		*j = nil
	case string:
		*j = nullJSON(value)
	case []byte:
		*j = slices.Clone(value)
	default:
		return fmt.Errorf("cannot read a JSON document from a %T", value)
	}
	return nil
}

// Create implements user.Store. It stores the user before it checks the grant. The insertion can wait for a transaction with the same
// email, and during this wait it must not lock the caller.
func (db *DB) Create(
	ctx context.Context, grant access.Grant, a user.NewAccount, decide func(fresh int, now time.Time) (user.Change, error),
) error {
	return db.inTx(ctx, "create a user", func(tx *transaction) error {
		if a.Idempotency != nil {
			if err := claimKey(ctx, tx, a.Idempotency.Key); err != nil {
				return err
			}
		}
		fresh, now, err := createUser(ctx, tx, a)
		if err != nil && !isTaken(err) {
			return err
		}
		if err := cmp.Or(checkGrant(ctx, tx, grant), err); err != nil {
			return err
		}
		var change user.Change
		if decide != nil {
			if change, err = decide(fresh, now); err != nil {
				return err
			}
		}
		var batch pgx.Batch
		if err := tx.queueNewAccount(ctx, &batch, a, change); err != nil {
			return err
		}
		return constraintError(tx.SendBatch(ctx, &batch).Close())
	})
}

// createUser stores the user of an account. It returns the number of tokens for a.Sends that were sent to the mailbox within
// user.FreshTokenAge, and the database's time. Errors: EmailTaken.
func createUser(ctx context.Context, tx pgx.Tx, a user.NewAccount) (fresh int, now time.Time, err error) {
	args := userArgs(a.User)
	args["email_hash"], args["purpose"], args["fresh_age"] = emailHash(a.User.Email), a.Sends, user.FreshTokenAge
	err = tx.QueryRow(ctx, insertUser+` RETURNING
		(SELECT count(*) FROM token_mailboxes WHERE email_hash = @email_hash AND purpose = @purpose AND sent_at > now() - @fresh_age::interval),
		now()`, args).Scan(&fresh, &now)
	if errors.Is(err, pgx.ErrNoRows) { // the id is new, so the email is taken
		return 0, time.Time{}, emailTaken()
	}
	return fresh, now.UTC(), err
}

// queueNewAccount queues the statements that store the credential, the roles and the audit entry user_created of a new user. It also queues
// the statements that store the completed request, and the audit entries, the token and the events of the change.
func (tx *transaction) queueNewAccount(ctx context.Context, batch *pgx.Batch, a user.NewAccount, change user.Change) error {
	batch.Queue(`INSERT INTO credentials (user_id, password_hash, changed_at, imported_prefix) VALUES ($1, $2, $3, $4)`,
		a.User.ID, a.PasswordHash, a.User.UpdatedAt, zeronull.Text(a.HashPrefix))
	queueRoles(batch, a.User)
	change.Audit = append([]user.Audit{user.Created(a.User)}, change.Audit...)
	if err := queueChangeAudit(ctx, batch, a.User.ID, change); err != nil {
		return err
	}
	queueToken(batch, a.User.ID, change.Token)
	tx.queueEvents(ctx, batch, change.Events)
	if a.Idempotency == nil {
		return nil
	}
	return queueCompleted(batch, *a.Idempotency, a.User)
}

// setEmail changes an email. Errors: EmailTaken.
func setEmail(ctx context.Context, tx pgx.Tx, u user.User) error {
	var set bool
	err := tx.QueryRow(ctx, `SELECT set_email($1, $2, $3)`, u.ID, u.Email, user.EmailKey(u.Email)).Scan(&set)
	if err == nil && !set {
		return emailTaken()
	}
	return err
}

func isTaken(err error) bool {
	var e *user.Error
	return errors.As(err, &e) && e.Code == user.EmailTaken
}

func emailTaken() error {
	return &user.Error{Code: user.EmailTaken, Detail: "Another account has this email."}
}

// Change implements user.Store.
func (db *DB) Change(ctx context.Context, grant access.Grant, decide user.Decide) (user.User, error) {
	return db.change(ctx, "change a user", grant, decide, func(pgx.Tx) error { return nil })
}

// change locks the target of the grant, and stores the change that decide returns. At the start of the transaction it calls the function
// first.
func (db *DB) change(
	ctx context.Context, operation string, grant access.Grant, decide user.Decide, first func(pgx.Tx) error,
) (user.User, error) {
	leave, err := db.accounts.Enter(ctx, accountOf(grant))
	if err != nil {
		return user.User{}, err
	}
	defer leave()
	var result user.User
	var change user.Change
	err = db.inTx(ctx, operation, func(tx *transaction) (err error) {
		if err := first(tx); err != nil {
			return err
		}
		if result, err = lockTarget(ctx, tx, grant); err != nil {
			return err
		}
		if change, err = decide(ctx, decision{tx}, result); err != nil {
			return err
		}
		return applyChange(ctx, tx, result, change)
	})
	if err != nil {
		return user.User{}, err
	}
	if change.User != nil {
		result = *change.User
	}
	return result, nil
}

// applyChange stores the change of the locked account old, in one round trip. A new email needs another round trip.
func applyChange(ctx context.Context, tx *transaction, old user.User, change user.Change) error {
	var batch pgx.Batch
	if change.User != nil && change.User.Email != old.Email {
		if err := setEmail(ctx, tx, *change.User); err != nil {
			return err
		}
	}
	if change.User != nil {
		queueUpdate(&batch, old, *change.User)
	}
	if err := queueChangeAudit(ctx, &batch, old.ID, change); err != nil {
		return err
	}
	queueSecrets(&batch, old, change) // after the statement that ends the old sessions, because queueSecrets may open a new session
	if change.Delete {
		queueErasure(&batch, old.ID)
	}
	tx.queueEvents(ctx, &batch, change.Events)
	return constraintError(tx.SendBatch(ctx, &batch).Close())
}

// queueChangeAudit queues the statements that store the audit entries of a change. If the change ends the user's sessions, these
// statements also end them.
func queueChangeAudit(ctx context.Context, batch *pgx.Batch, id uuid.UUID, change user.Change) error {
	entries := slices.Clone(change.Audit)
	for i := range entries {
		entries[i].UserID = id
	}
	if change.EndSessions {
		return queueEndSessions(ctx, batch, id, change.KeepSession, entries...)
	}
	return queueAudit(ctx, batch, entries...)
}

// queueSecrets queues the statements that change the credential, sessions, tokens, login failures and networks of the account old.
func queueSecrets(batch *pgx.Batch, old user.User, change user.Change) {
	if change.PasswordHash != "" {
		batch.Queue(`UPDATE credentials SET password_hash = $2, changed_at = clock_timestamp() WHERE user_id = $1`, old.ID, change.PasswordHash)
	}
	if change.NewSession != nil {
		queueSession(batch, change.NewSession.Session)
		queueIdentify(batch, change.NewSession.Session, &change.NewSession.Identity)
	}
	if change.InvalidateTokens {
		queueInvalidateTokens(batch, old.ID, user.PasswordReset, user.Invitation)
	}
	queueToken(batch, old.ID, change.Token)
	if change.ClearFailures || change.Delete {
		queueResetLoginFailures(batch, old)
	}
	if change.ClearCodes || change.Delete { // a reset does not clear the count of wrong codes
		batch.Queue(`DELETE FROM password_failures WHERE subject_hash = $1`, codesHash(old.ID))
	}
	queueFactorChange(batch, old.ID, change.Factors)
	if change.LoginNetwork.IsValid() {
		queueNetwork(batch, old.ID, change.LoginNetwork, false)
	}
}

// queueToken queues the statements that store a one-time token and count it for its mailbox. If t is nil, it does nothing.
func queueToken(batch *pgx.Batch, id uuid.UUID, t *user.OneTimeToken) {
	if t == nil {
		return
	}
	batch.Queue(`
		INSERT INTO one_time_tokens (token_hash, purpose, user_id, email_key, created_at, expires_at)
		VALUES ($1, $2, $3, $4, now(), now() + $5::interval)`,
		t.Hash[:], t.Purpose, id, user.EmailKey(t.Email), t.ExpiresAt.Sub(t.CreatedAt))
	batch.Queue(`INSERT INTO token_mailboxes (email_hash, purpose, sent_at) VALUES ($1, $2, now())`, emailHash(t.Email), t.Purpose)
}

// queueUpdate queues the statements that store the new state of a locked user, except for a new email, which setEmail has already stored.
func queueUpdate(batch *pgx.Batch, old, u user.User) {
	batch.Queue(updateUser, userArgs(u))
	if old.Email != u.Email { // the tokens stay invalid even if the user later returns to the old email
		queueInvalidateTokens(batch, u.ID, user.PasswordReset, user.EmailVerification, user.Invitation)
	}
	if !slices.Equal(old.Roles, u.Roles) {
		batch.Queue(`DELETE FROM user_roles WHERE user_id = $1`, u.ID)
		queueRoles(batch, u)
	}
}

func queueRoles(batch *pgx.Batch, u user.User) {
	batch.Queue(`INSERT INTO user_roles (user_id, role) SELECT $1, unnest($2::text[])`, u.ID, u.Roles)
}

// constraintError translates the violation of a constraint into an error of the domain.
func constraintError(err error) error {
	var server *pgconn.PgError
	if !errors.As(err, &server) {
		return err
	}
	if server.ConstraintName == "factors_credential_id" {
		return user.FieldErrors{{Pointer: "/credential", Code: user.Incorrect, Detail: "belongs to a passkey that is already in use"}}.Err()
	}
	if server.ConstraintName == "user_roles_role_fkey" {
		return user.FieldErrors{{Pointer: "/roles", Code: user.UnknownRole, Detail: "names a role that does not exist"}}.Err()
	}
	return err
}

// User implements user.Store.
func (db *DB) User(ctx context.Context, id uuid.UUID) (user.User, error) {
	u, err := scanUser(db.pool.QueryRow(ctx, `SELECT `+userColumns+` FROM users u WHERE u.id = $1`, id))
	return u, wrap("read a user", err)
}

// ActiveUserID implements user.Store. The query always returns one row, with the id NULL if no active account has the email. So its
// duration does not reveal whether an account exists.
func (db *DB) ActiveUserID(ctx context.Context, email string) (uuid.UUID, error) {
	var id uuid.NullUUID
	err := db.pool.QueryRow(ctx, `SELECT (SELECT id FROM users WHERE email_key = $1 AND status = $2)`,
		user.EmailKey(email), user.Active).Scan(&id)
	return id.UUID, wrap("find an account by email", err)
}

package postgres

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"user-service/pkg/access"
	"user-service/pkg/user"
)

// userColumns are what scanUser reads, of users u.
const userColumns = `u.id, u.email, u.email_verified, coalesce(u.name, ''), coalesce(u.picture, ''),
	coalesce(u.locale, ''), coalesce(u.zoneinfo, ''), u.metadata::text,
	ARRAY(SELECT ur.role FROM user_roles ur WHERE ur.user_id = u.id ORDER BY ur.role COLLATE "C"),
	u.status, u.version, u.created_at, u.updated_at`

// userFields are where the values of userColumns go.
func userFields(u *user.User, metadata **string) []any {
	return []any{
		&u.ID, &u.Email, &u.EmailVerified, &u.Name, &u.Picture, &u.Locale, &u.Zoneinfo, metadata,
		&u.Roles, &u.Status, &u.Version, &u.CreatedAt, &u.UpdatedAt,
	}
}

// scanUser reads userColumns and whatever follows them.
func scanUser(row pgx.Row, more ...any) (user.User, error) {
	var u user.User
	var metadata *string
	if err := row.Scan(append(userFields(&u, &metadata), more...)...); err != nil {
		return user.User{}, err
	}
	if metadata != nil {
		u.Metadata = []byte(*metadata)
	}
	u.CreatedAt, u.UpdatedAt = u.CreatedAt.UTC(), u.UpdatedAt.UTC()
	return u, nil
}

// Create implements user.Store.
func (db *DB) Create(
	ctx context.Context, grant access.Grant, u user.User, passwordHash string, decide func(fresh int, now time.Time) (user.Change, error),
) error {
	err := db.inGrantedTx(ctx, "create a user", func(tx pgx.Tx) error {
		if err := checkGrant(ctx, tx, grant); err != nil {
			return err
		}
		fresh, now, err := insertUser(ctx, tx, u)
		if err != nil {
			return err
		}
		var change user.Change
		if decide != nil {
			if change, err = decide(fresh, now); err != nil {
				return err
			}
		}
		var batch pgx.Batch
		batch.Queue(`INSERT INTO credentials (user_id, password_hash, changed_at) VALUES ($1, $2, $3)`, u.ID, passwordHash, u.CreatedAt)
		queueRoles(&batch, u)
		change.Audit = append([]user.Audit{user.Created(u)}, change.Audit...)
		if err := queueChangeAudit(ctx, &batch, u.ID, change); err != nil {
			return err
		}
		queueToken(&batch, u.ID, change.Token)
		queueEvents(ctx, &batch, change.Events)
		return constraintError(tx.SendBatch(ctx, &batch).Close())
	})
	if err == nil {
		db.committed()
	}
	return err
}

// insertUser stores a user, unless another one has the email: then it returns EmailTaken. No constraint is violated by
// a taken email, as PostgreSQL would log it. It returns how many tokens to verify an email the mailbox got lately, and the time.
func insertUser(ctx context.Context, tx pgx.Tx, u user.User) (fresh int, now time.Time, err error) {
	err = tx.QueryRow(ctx, `
		INSERT INTO users (id, email, email_key, email_verified, name, name_key, picture, locale, zoneinfo, metadata,
			status, version, created_at, updated_at)
		VALUES ($1, $2, $3, $4, nullif($5, ''), nullif($6, ''), nullif($7, ''), nullif($8, ''), nullif($9, ''), $10,
			$11, $12, $13, $14)
		ON CONFLICT (email_key) DO NOTHING
		RETURNING (SELECT count(*) FROM token_mailboxes WHERE email_hash = $15 AND purpose = $16 AND sent_at > now() - $17::interval), now()`,
		append(writable(u), u.Status, u.Version, u.CreatedAt, u.UpdatedAt,
			emailHash(u.Email), user.EmailVerification, user.FreshTokenAge)...).Scan(&fresh, &now)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, time.Time{}, emailTaken()
	}
	return fresh, now.UTC(), err
}

// setEmail changes an email, as insertUser stores it.
func setEmail(ctx context.Context, tx pgx.Tx, u user.User) error {
	var set bool
	err := tx.QueryRow(ctx, `SELECT set_email($1, $2, $3)`, u.ID, u.Email, user.EmailKey(u.Email)).Scan(&set)
	if err == nil && !set {
		return emailTaken()
	}
	return err
}

func emailTaken() error {
	return &user.Error{Code: user.EmailTaken, Detail: "Another account has this email."}
}

// Change implements user.Store.
func (db *DB) Change(ctx context.Context, grant access.Grant, decide user.Decide) (user.User, error) {
	return db.change(ctx, "change a user", grant, decide, func(pgx.Tx) error { return nil })
}

// change locks the account that the grant is about, and stores what decide makes of it. The transaction begins with first.
func (db *DB) change(ctx context.Context, doing string, grant access.Grant, decide user.Decide, first func(pgx.Tx) error) (user.User, error) {
	leave, err := db.accounts.Enter(ctx, accountOf(grant))
	if err != nil {
		return user.User{}, err
	}
	defer leave()
	var result user.User
	var change user.Change
	err = db.inGrantedTx(ctx, doing, func(tx pgx.Tx) (err error) {
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
	if len(change.Events) > 0 {
		db.committed()
	}
	return result, nil
}

// applyChange writes what was decided about the locked account old, in one round trip, and another one for a new email.
func applyChange(ctx context.Context, tx pgx.Tx, old user.User, change user.Change) error {
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
	queueSecrets(&batch, old, change) // after the old sessions have ended: a new one may be opened
	if change.Delete {
		queueErasure(&batch, old.ID)
	}
	queueEvents(ctx, &batch, change.Events)
	return constraintError(tx.SendBatch(ctx, &batch).Close())
}

// queueChangeAudit makes the entries about a change of the user with this id, and ends the sessions that it ends.
func queueChangeAudit(ctx context.Context, batch *pgx.Batch, id uuid.UUID, change user.Change) error {
	entries := slices.Clone(change.Audit)
	for i := range entries {
		entries[i].UserID = id
	}
	if change.EndSessions {
		return queueEndSessions(ctx, batch, id, entries...)
	}
	return queueAudit(ctx, batch, entries...)
}

// queueSecrets writes what was decided about the ways into the account old.
func queueSecrets(batch *pgx.Batch, old user.User, change user.Change) {
	if change.PasswordHash != "" {
		batch.Queue(`UPDATE credentials SET password_hash = $2, changed_at = clock_timestamp() WHERE user_id = $1`, old.ID, change.PasswordHash)
	}
	if change.NewSession != nil {
		queueSession(batch, change.NewSession.Session)
		queueIdentify(batch, change.NewSession.Session, &change.NewSession.Identity)
	}
	if change.InvalidateTokens {
		queueInvalidateTokens(batch, old.ID, user.PasswordReset)
	}
	queueToken(batch, old.ID, change.Token)
	if change.ClearFailures || change.Delete {
		queueResetLoginFailures(batch, old)
	}
	if change.LoginNetwork.IsValid() {
		queueNetwork(batch, old.ID, change.LoginNetwork)
	}
}

// queueToken stores a one-time token, if there is one, and that its mailbox gets it.
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

func queueUpdate(batch *pgx.Batch, old, u user.User) {
	batch.Queue(`
		UPDATE users SET email = $2, email_key = CASE WHEN email = $2 THEN email_key ELSE $3 END, email_verified = $4, name = nullif($5, ''), name_key = nullif($6, ''),
			picture = nullif($7, ''), locale = nullif($8, ''), zoneinfo = nullif($9, ''), metadata = $10,
			status = $11, version = $12, updated_at = $13
		WHERE id = $1`,
		append(writable(u), u.Status, u.Version, u.UpdatedAt)...)
	if old.Email != u.Email { // for good: the user may go back to the old one
		queueInvalidateTokens(batch, u.ID, user.PasswordReset, user.EmailVerification)
	}
	if !slices.Equal(old.Roles, u.Roles) {
		batch.Queue(`DELETE FROM user_roles WHERE user_id = $1`, u.ID)
		queueRoles(batch, u)
	}
}

func queueRoles(batch *pgx.Batch, u user.User) {
	batch.Queue(`INSERT INTO user_roles (user_id, role) SELECT $1, unnest($2::text[])`, u.ID, u.Roles)
}

// writable are the first ten parameters of the statements that write a user.
func writable(u user.User) []any {
	var metadata *string
	if u.Metadata != nil {
		text := string(u.Metadata)
		metadata = &text
	}
	return []any{
		u.ID, u.Email, user.EmailKey(u.Email), u.EmailVerified, u.Name, user.Fold(u.Name),
		u.Picture, u.Locale, u.Zoneinfo, metadata,
	}
}

// constraintError says what the breach of a constraint means to the caller.
func constraintError(err error) error {
	var server *pgconn.PgError
	if !errors.As(err, &server) {
		return err
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

// ActiveUserID implements user.Store. The answer is one row for every email, and no column but the id is read.
func (db *DB) ActiveUserID(ctx context.Context, email string) (uuid.UUID, error) {
	var id uuid.NullUUID
	err := db.pool.QueryRow(ctx, `SELECT (SELECT id FROM users WHERE email_key = $1 AND status = $2)`,
		user.EmailKey(email), user.Active).Scan(&id)
	return id.UUID, wrap("look for an account", err)
}

package postgres

import (
	"context"
	"crypto/sha256"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype/zeronull"

	"user-service/pkg/factor"
	"user-service/pkg/user"
)

// codesHash returns the key of the count of a user's wrong codes. A reset does not clear this count.
func codesHash(id uuid.UUID) []byte {
	sum := sha256.Sum256(append([]byte("second factor "), id[:]...))
	return sum[:]
}

// storeChallenge stores the login challenge of a decision if the user is active and still has the email and the password that the attempt
// verified.
func storeChallenge(ctx context.Context, tx pgx.Tx, a user.Attempt, decision user.LoginDecision) error {
	c := decision.Challenge
	return tx.QueryRow(ctx, `
		INSERT INTO login_challenges (challenge_hash, user_id, email_key, password_at, expires_at)
		SELECT $1, u.id, u.email_key, c.changed_at, now() + $3::interval FROM users u JOIN credentials c ON c.user_id = u.id
		WHERE u.id = $2 AND u.status = 'active' AND c.changed_at = $4 AND u.email_key = $5 FOR SHARE
		RETURNING tries`,
		c.Hash[:], c.UserID, factor.ChallengeTTL, decision.PasswordAt, user.EmailKey(a.Email)).Scan(new(int))
}

// validChallenge is the condition under which the challenge ch of the user u with the credential c is valid.
const validChallenge = `ch.challenge_hash = $1 AND ch.expires_at > clock_timestamp() AND ch.tries < $2 AND u.status = 'active'
	AND ch.email_key = u.email_key AND ch.password_at = c.changed_at`

// ChallengeHolder implements user.Store.
func (db *DB) ChallengeHolder(ctx context.Context, hash factor.ChallengeHash) (h user.ChallengeHolder, err error) {
	err = db.logins.QueryRow(ctx, `
		SELECT u.id, u.email FROM login_challenges ch JOIN users u ON u.id = ch.user_id JOIN credentials c ON c.user_id = u.id
		WHERE `+validChallenge, hash[:], factor.MaxTries).Scan(&h.UserID, &h.Email)
	return h, wrap("find a login challenge", err)
}

// RecordCode implements user.Store. It locks in the same order as RecordAttempt and Redeem: the subjects of attempts, then the user.
func (db *DB) RecordCode(
	ctx context.Context, hash factor.ChallengeHash, userID uuid.UUID, a user.Attempt,
	decide func(user.CodeAttempt) (user.CodeDecision, error),
) (identity user.Identity, err error) {
	leave, err := db.attempts.Enter(ctx, string(subjectHash(a)))
	if err != nil {
		return identity, err
	}
	defer leave()
	err = inTx(ctx, db.logins, "record a code", func(tx *transaction) error {
		state, err := lockCodeAttempt(ctx, tx, hash, userID, a)
		if err != nil {
			return err
		}
		decision, err := decide(state)
		if err != nil {
			return err
		}
		var batch pgx.Batch
		queueCode(&batch, hash, userID, decision)
		identity, err = tx.storeAttempt(ctx, &batch, a, decision.LoginDecision, false)
		return err
	})
	return identity, err
}

// lockCodeAttempt locks the subjects of an attempt, the user and the challenge, and reads the state on which the decision depends.
func lockCodeAttempt(
	ctx context.Context, tx pgx.Tx, hash factor.ChallengeHash, userID uuid.UUID, a user.Attempt,
) (state user.CodeAttempt, err error) {
	var batch pgx.Batch
	queueLock(&batch, subjectHash(a))
	batch.Queue(`SELECT 1 FROM users WHERE id = $1 FOR NO KEY UPDATE`, userID)
	batch.Queue(`
		SELECT u.id FROM login_challenges ch JOIN users u ON u.id = ch.user_id JOIN credentials c ON c.user_id = u.id
		WHERE `+validChallenge+` AND u.id = $3 FOR UPDATE OF ch`, hash[:], factor.MaxTries, userID).
		QueryRow(func(row pgx.Row) error { return row.Scan(&state.UserID) })
	batch.Queue(loginFailuresQuery, loginFailuresArgs(a)...).QueryRow(func(row pgx.Row) (err error) {
		state.Logins, err = scanLoginFailures(row, a)
		return err
	})
	batch.Queue(`SELECT failures, blocked_until FROM password_failures WHERE subject_hash = $1 AND network = $2
		AND failed_at > clock_timestamp() - $3::interval`, codesHash(userID), allNetworks, user.FailuresTTL).
		QueryRow(func(row pgx.Row) error {
			err := row.Scan(&state.Codes.Count, &state.Codes.BlockedUntil)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			return err
		})
	queueFactors(&batch, userID, &state.Factors)
	return state, tx.SendBatch(ctx, &batch).Close()
}

// queueCode queues the statements that use up a code and its challenge, or that count a wrong code.
func queueCode(batch *pgx.Batch, hash factor.ChallengeHash, userID uuid.UUID, decision user.CodeDecision) {
	if f := decision.Codes; f != nil {
		batch.Queue(`UPDATE login_challenges SET tries = tries + 1 WHERE challenge_hash = $1`, hash[:])
		batch.Queue(`
			INSERT INTO password_failures (subject_hash, network, failures, failed_at, blocked_until) VALUES ($1, $2, $3, clock_timestamp(), $4)
			ON CONFLICT (subject_hash, network) DO UPDATE
			SET failures = excluded.failures, failed_at = excluded.failed_at, blocked_until = excluded.blocked_until`,
			codesHash(userID), allNetworks, f.Count, f.BlockedUntil)
	}
	if decision.Session == nil {
		return
	}
	batch.Queue(`DELETE FROM login_challenges WHERE challenge_hash = $1`, hash[:])
	batch.Queue(`DELETE FROM password_failures WHERE subject_hash = $1`, codesHash(userID))
	if decision.FactorID != uuid.Nil {
		queueUse(batch, decision)
	} else {
		batch.Queue(`DELETE FROM recovery_codes WHERE user_id = $1 AND code_hash = $2`, userID, decision.Recovery[:])
	}
}

// queueUse queues the statement that stores the use of a factor: the time step of its code, or the counter of its passkey.
func queueUse(batch *pgx.Batch, decision user.CodeDecision) {
	batch.Queue(`
		UPDATE factors SET last_step = $2, last_used_at = clock_timestamp(), passkey = coalesce($3::json, passkey) WHERE id = $1`,
		decision.FactorID, decision.Step, zeronull.Text(decision.Passkey.Record))
}

// AddPasskeyChallenge implements user.Store.
func (db *DB) AddPasskeyChallenge(ctx context.Context, hash factor.ChallengeHash) error {
	err := db.logins.Exec(ctx, `INSERT INTO passkey_challenges (challenge_hash, expires_at) VALUES ($1, clock_timestamp() + $2::interval)`,
		hash[:], factor.ChallengeTTL)
	return wrap("store a challenge", err)
}

// RecordPasskey implements user.Store. It uses up the challenge for every decision. Logins with the same passkey lock the same user, so
// they queue in the replica, like the attempts in RecordAttempt.
func (db *DB) RecordPasskey(
	ctx context.Context, hash factor.ChallengeHash, credentialID []byte, a user.Attempt,
	decide func(user.PasskeyAttempt) (user.CodeDecision, error),
) (identity user.Identity, err error) {
	if len(credentialID) > 0 {
		leave, err := db.attempts.Enter(ctx, "passkey "+string(credentialID))
		if err != nil {
			return identity, err
		}
		defer leave()
	}
	err = inTx(ctx, db.logins, "record the use of a passkey", func(tx *transaction) error {
		var one int
		if err := tx.QueryRow(ctx, `
			DELETE FROM passkey_challenges WHERE challenge_hash = $1 AND expires_at > clock_timestamp() RETURNING 1`, hash[:]).
			Scan(&one); err != nil {
			return err
		}
		state, email, err := lockPasskey(ctx, tx, credentialID)
		if err != nil {
			return err
		}
		decision, err := decide(state)
		if err != nil {
			return err
		}
		var batch pgx.Batch
		if decision.Session != nil {
			a.Email = email
			queueUse(&batch, decision)
		}
		identity, err = tx.storeAttempt(ctx, &batch, a, decision.LoginDecision, false)
		return err
	})
	return identity, err
}

// lockPasskey locks the active user of a credential, and reads the factor. It returns the zero PasskeyAttempt for an unknown credential.
func lockPasskey(ctx context.Context, tx pgx.Tx, credentialID []byte) (state user.PasskeyAttempt, email string, err error) {
	rows, err := tx.Query(ctx, `
		SELECT u.id, u.email FROM factors f JOIN users u ON u.id = f.user_id
		WHERE f.credential_id = $1 AND f.type = 'passkey' AND f.confirmed_at IS NOT NULL AND u.status = 'active'
		FOR NO KEY UPDATE OF u`, credentialID)
	if err != nil {
		return state, "", err
	}
	type holder struct {
		id    uuid.UUID
		email string
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (h holder, err error) { return h, row.Scan(&h.id, &h.email) })
	if err != nil || len(found) == 0 {
		return state, "", err
	}
	var batch pgx.Batch
	var factors []user.Factor
	// While the query above waited for its lock, the user may have removed the passkey. Another user may even have added a passkey with the
	// same id.
	batch.Queue(`SELECT `+factorColumns+` FROM factors WHERE credential_id = $1 AND user_id = $2 AND confirmed_at IS NOT NULL`,
		credentialID, found[0].id).Query(into(&factors, scanFactor))
	batch.Queue(`SELECT clock_timestamp()`).QueryRow(func(row pgx.Row) error { return row.Scan(&state.Now) })
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil || len(factors) == 0 { // the passkey was removed before the lock
		return state, "", err
	}
	state.UserID, state.Factor = found[0].id, factors[0]
	return state, found[0].email, nil
}

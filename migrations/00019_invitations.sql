-- Accounts without a password, and invitations, with which their users set the first password.
--
-- The password_hash of such an account is the empty text. NULL would break replicas of older releases during an upgrade: they
-- read the hash into a Go string, so that a login would fail with 500 instead of 401. For an empty hash they already do the work
-- for an unknown email, and their password resets replace it.

-- +goose NO TRANSACTION
-- +goose Up

-- A new purpose. The existing rows meet the new condition, so they are not checked under the lock.
-- +goose StatementBegin
DO $$
BEGIN
    SET LOCAL lock_timeout = '200ms';
    ALTER TABLE one_time_tokens
        DROP CONSTRAINT IF EXISTS one_time_tokens_purpose_check,
        ADD CONSTRAINT one_time_tokens_purpose_check CHECK (purpose IN ('password_reset', 'email_verification', 'invitation')) NOT VALID;
END
$$;
-- +goose StatementEnd
ALTER TABLE one_time_tokens VALIDATE CONSTRAINT one_time_tokens_purpose_check; -- blocks no statement of the service

-- An index for counting the accounts without a password. It is created concurrently; an index left by an interrupted run is invalid.
DROP INDEX CONCURRENTLY IF EXISTS credentials_without_password;
CREATE INDEX CONCURRENTLY credentials_without_password ON credentials (user_id) WHERE password_hash = '';

-- +goose Down

-- Accounts without a password remain: their users can request a password reset.
DROP INDEX CONCURRENTLY IF EXISTS credentials_without_password;
-- +goose StatementBegin
DO $$
BEGIN
    SET LOCAL lock_timeout = '200ms';
    LOCK TABLE one_time_tokens;
    DELETE FROM one_time_tokens WHERE purpose = 'invitation';
    ALTER TABLE one_time_tokens
        DROP CONSTRAINT one_time_tokens_purpose_check,
        ADD CONSTRAINT one_time_tokens_purpose_check CHECK (purpose IN ('password_reset', 'email_verification'));
END
$$;
-- +goose StatementEnd

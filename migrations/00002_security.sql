-- The origin of sessions, one-time tokens, login failures, and the audit trail.

-- +goose NO TRANSACTION
-- +goose Up

-- +goose StatementBegin
DO $$
BEGIN
    SET LOCAL lock_timeout = '200ms';
    ALTER TABLE sessions
        ADD COLUMN IF NOT EXISTS user_agent text NOT NULL DEFAULT '', -- of the last login or refresh
        ADD COLUMN IF NOT EXISTS ip         inet;                     -- of the last login or refresh
END
$$;
-- +goose StatementEnd
DROP INDEX CONCURRENTLY IF EXISTS sessions_expires_at;
CREATE INDEX CONCURRENTLY sessions_expires_at ON sessions (expires_at);

-- Tokens that prove the control of a mailbox. A used token is deleted.
-- The foreign key locks users.
-- +goose StatementBegin
DO $$
BEGIN
    SET LOCAL lock_timeout = '200ms';
    CREATE TABLE IF NOT EXISTS one_time_tokens (
        token_hash bytea       PRIMARY KEY, -- SHA-256, so that a reader of the table can't use a token
        purpose    text        NOT NULL CHECK (purpose IN ('password_reset', 'email_verification')),
        user_id    uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
        email_key  text        NOT NULL COLLATE "C", -- the email to which the token was sent; a new email invalidates the token
        created_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL
    );
END
$$;
-- +goose StatementEnd
CREATE INDEX IF NOT EXISTS one_time_tokens_user_id ON one_time_tokens (user_id, purpose);
CREATE INDEX IF NOT EXISTS one_time_tokens_expires_at ON one_time_tokens (expires_at);

-- Consecutive login failures by email, with or without an account.
CREATE TABLE IF NOT EXISTS login_failures (
    email_hash    bytea       PRIMARY KEY, -- SHA-256 of the case-folded email
    failures      integer     NOT NULL,
    failed_at     timestamptz NOT NULL,
    blocked_until timestamptz NOT NULL     -- until then every login with this email is refused
);
CREATE INDEX IF NOT EXISTS login_failures_failed_at ON login_failures (failed_at);

-- Who did what to which user. There is no foreign key: entries remain after an erasure, with ids only.
CREATE TABLE IF NOT EXISTS audit_events (
    id         uuid        PRIMARY KEY, -- UUIDv7: sorts by time
    time       timestamptz NOT NULL,
    action     text        NOT NULL,
    actor_id   uuid,
    user_id    uuid,
    ip         inet,
    request_id text
);
CREATE INDEX IF NOT EXISTS audit_events_user_id ON audit_events (user_id, id);
CREATE INDEX IF NOT EXISTS audit_events_action ON audit_events (action, id);

-- +goose Down

DROP TABLE IF EXISTS audit_events, login_failures, one_time_tokens;
DROP INDEX IF EXISTS sessions_expires_at;
ALTER TABLE sessions DROP COLUMN IF EXISTS user_agent, DROP COLUMN IF EXISTS ip;

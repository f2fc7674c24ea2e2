-- Second factors, recovery codes and login challenges.

-- +goose NO TRANSACTION
-- +goose Up

-- The authentication methods of the login (RFC 8176). Replicas of the previous release open sessions with a password alone.
-- +goose StatementBegin
DO $$
BEGIN
    SET LOCAL lock_timeout = '200ms';
    ALTER TABLE sessions ADD COLUMN IF NOT EXISTS amr text[] NOT NULL DEFAULT '{pwd}';
END
$$;
-- +goose StatementEnd

-- The foreign keys lock users.
-- +goose StatementBegin
DO $$
BEGIN
    SET LOCAL lock_timeout = '200ms';
    CREATE TABLE IF NOT EXISTS factors (
        id           uuid        PRIMARY KEY,
        user_id      uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
        type         text        NOT NULL,
        name         text        NOT NULL,
        secret       bytea,                         -- encrypted with AES-256-GCM, see pkg/factor
        key_id       text,                          -- the key that encrypted the secret
        last_step    bigint      NOT NULL DEFAULT 0, -- the time step of the last accepted code (RFC 6238)
        created_at   timestamptz NOT NULL DEFAULT now(),
        confirmed_at timestamptz,                   -- NULL: the factor has no effect yet
        last_used_at timestamptz
    );

    -- The unused recovery codes. A used code is deleted.
    CREATE TABLE IF NOT EXISTS recovery_codes (
        user_id    uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
        code_hash  bytea       NOT NULL, -- SHA-256 of the user's id and the code, which has 80 random bits
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (user_id, code_hash)
    );

    -- Logins with a correct password that still need a second factor. A used challenge is deleted.
    CREATE TABLE IF NOT EXISTS login_challenges (
        challenge_hash bytea       PRIMARY KEY, -- SHA-256, so that a reader of the table can't use a challenge
        user_id        uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
        email_key      text        NOT NULL COLLATE "C", -- a new email makes the challenge invalid
        password_at    timestamptz NOT NULL,             -- and so does a new password
        tries          integer     NOT NULL DEFAULT 0,
        created_at     timestamptz NOT NULL DEFAULT now(),
        expires_at     timestamptz NOT NULL
    );
END
$$;
-- +goose StatementEnd
CREATE INDEX IF NOT EXISTS factors_user_id ON factors (user_id);
CREATE INDEX IF NOT EXISTS factors_key_id ON factors (key_id);
CREATE INDEX IF NOT EXISTS factors_unconfirmed ON factors (created_at) WHERE confirmed_at IS NULL;
CREATE INDEX IF NOT EXISTS login_challenges_user_id ON login_challenges (user_id);
CREATE INDEX IF NOT EXISTS login_challenges_expires_at ON login_challenges (expires_at);

-- +goose Down

ALTER TABLE sessions DROP COLUMN IF EXISTS amr;
DROP TABLE IF EXISTS login_challenges, recovery_codes, factors;

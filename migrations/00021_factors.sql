-- Second factors, recovery codes and login challenges.

-- +goose Up

CREATE TABLE factors (
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
CREATE INDEX factors_user_id ON factors (user_id);
CREATE INDEX factors_key_id ON factors (key_id);
CREATE INDEX factors_unconfirmed ON factors (created_at) WHERE confirmed_at IS NULL;

-- A used code is deleted.
CREATE TABLE recovery_codes (
    user_id    uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    code_hash  bytea       NOT NULL, -- SHA-256 of the user's id and the code, which has 80 random bits
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, code_hash)
);

-- Logins with a correct password that still need a second factor. A challenge that was used is deleted.
CREATE TABLE login_challenges (
    challenge_hash bytea       PRIMARY KEY, -- SHA-256, so that a reader of the table can't use a challenge
    user_id        uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    email_key      text        NOT NULL COLLATE "C", -- a new email makes the challenge invalid
    password_at    timestamptz NOT NULL,             -- and so does a new password
    tries          integer     NOT NULL DEFAULT 0,
    created_at     timestamptz NOT NULL DEFAULT now(),
    expires_at     timestamptz NOT NULL
);
CREATE INDEX login_challenges_user_id ON login_challenges (user_id);
CREATE INDEX login_challenges_expires_at ON login_challenges (expires_at);

-- The authentication methods of the login (RFC 8176). Replicas of the previous version open sessions with a password alone.
SET LOCAL lock_timeout = '1s';
ALTER TABLE sessions ADD COLUMN amr text[] NOT NULL DEFAULT '{pwd}';

-- +goose Down

ALTER TABLE sessions DROP COLUMN amr;
DROP TABLE login_challenges, recovery_codes, factors;

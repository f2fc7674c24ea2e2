-- Passkeys (WebAuthn).

-- +goose Up

SET LOCAL lock_timeout = '200ms';
ALTER TABLE factors
    ADD COLUMN challenge     text,  -- of the registration
    ADD COLUMN credential_id bytea,
    ADD COLUMN passkey       json;  -- the public key and the counter of the authenticator
CREATE UNIQUE INDEX factors_credential_id ON factors (credential_id);

-- Challenges of logins without a password. A used challenge is deleted.
CREATE TABLE passkey_challenges (
    challenge_hash bytea       PRIMARY KEY, -- SHA-256
    expires_at     timestamptz NOT NULL
);
CREATE INDEX passkey_challenges_expires_at ON passkey_challenges (expires_at);

-- +goose Down

DROP TABLE passkey_challenges;
ALTER TABLE factors DROP COLUMN challenge, DROP COLUMN credential_id, DROP COLUMN passkey;

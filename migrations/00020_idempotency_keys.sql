-- The responses to requests with an Idempotency-Key, so that a repeated request gets the same response.

-- +goose Up

SET LOCAL lock_timeout = '200ms'; -- the foreign key locks users
CREATE TABLE idempotency_keys (
    key_hash   bytea       PRIMARY KEY, -- SHA-256 of the endpoint, the caller and the key
    body_mac   bytea       NOT NULL,    -- HMAC of the body. A plain hash would help to guess the password in the body
    user_id    uuid        NOT NULL REFERENCES users ON DELETE CASCADE, -- the account that the request created
    response   json        NOT NULL,    -- the user in the first response; json, because jsonb would change the order of its members
    created_at timestamptz NOT NULL
);
CREATE INDEX idempotency_keys_user_id ON idempotency_keys (user_id);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);

-- +goose Down

DROP TABLE idempotency_keys;

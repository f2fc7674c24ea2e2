-- The time of the first use of each token key, so that operators can rotate it in time.

-- +goose Up

CREATE TABLE token_keys (
    kid           text        PRIMARY KEY, -- the id that tokens carry, never the key
    first_used_at timestamptz NOT NULL DEFAULT now()
);

-- +goose Down

DROP TABLE token_keys;

-- Since when each key of tokens is in use, for those who have to change it in time.

-- +goose Up

CREATE TABLE token_keys (
    kid           text        PRIMARY KEY, -- the id that tokens carry, never the key
    first_used_at timestamptz NOT NULL DEFAULT now()
);

-- +goose Down

DROP TABLE token_keys;

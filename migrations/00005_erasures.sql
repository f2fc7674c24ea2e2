-- The ids of recently erased users. Audit entries of requests that ran during an erasure are scrubbed later.

-- +goose Up

CREATE TABLE erasures (
    user_id   uuid        PRIMARY KEY, -- without a foreign key, because the user is deleted
    erased_at timestamptz NOT NULL DEFAULT now()
);

-- +goose Down

DROP TABLE erasures;

-- The ids of recently erased users. Audit entries of requests that ran during an erasure are scrubbed later.

-- +goose Up

CREATE TABLE erasures (
    user_id   uuid        PRIMARY KEY, -- refers to no user: there is none any more
    erased_at timestamptz NOT NULL DEFAULT now()
);

-- +goose Down

DROP TABLE erasures;

-- Who was erased just now, as an id: what was going on meanwhile is taken out of the audit trail a little later.

-- +goose Up

CREATE TABLE erasures (
    user_id   uuid        PRIMARY KEY, -- refers to no user: there is none any more
    erased_at timestamptz NOT NULL DEFAULT now()
);

-- +goose Down

DROP TABLE erasures;

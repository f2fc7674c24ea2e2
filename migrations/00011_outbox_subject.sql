-- An index of the waiting events by user, because an erasure removes the user's events.

-- +goose NO TRANSACTION
-- +goose Up

-- Every change writes to this table, so the index is created concurrently. An index left by an interrupted run is invalid.
DROP INDEX CONCURRENTLY IF EXISTS outbox_subject;
CREATE INDEX CONCURRENTLY outbox_subject ON outbox (subject);

-- +goose Down

DROP INDEX CONCURRENTLY IF EXISTS outbox_subject;

-- The waiting events of one user: an erasure removes them.

-- +goose NO TRANSACTION
-- +goose Up

-- Every change writes to this table, so the index is made beside the writes. An index that an interrupted run has
-- left behind is of no use.
DROP INDEX CONCURRENTLY IF EXISTS outbox_subject;
CREATE INDEX CONCURRENTLY outbox_subject ON outbox (subject);

-- +goose Down

DROP INDEX CONCURRENTLY IF EXISTS outbox_subject;

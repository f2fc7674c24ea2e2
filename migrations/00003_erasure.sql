-- An index of the audit entries by actor, because the erasure of an account removes the account's addresses from its entries.

-- +goose NO TRANSACTION
-- +goose Up

-- Every login writes to this table, so the index is created concurrently. An index left by an interrupted run is invalid.
DROP INDEX CONCURRENTLY IF EXISTS audit_events_actor_id;
CREATE INDEX CONCURRENTLY audit_events_actor_id ON audit_events (actor_id) WHERE actor_id IS NOT NULL;

-- +goose Down

DROP INDEX CONCURRENTLY IF EXISTS audit_events_actor_id;

-- An index that finds the entries by an actor in the order of their ids, for the export of a user's data. It replaces the index of the
-- erasure.

-- +goose NO TRANSACTION
-- +goose Up

-- Every login writes to this table, so the index is created concurrently. An index left by an interrupted run is invalid.
DROP INDEX CONCURRENTLY IF EXISTS audit_events_actor;
CREATE INDEX CONCURRENTLY audit_events_actor ON audit_events (actor_id, id) WHERE actor_id IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS audit_events_actor_id;

-- +goose Down

DROP INDEX CONCURRENTLY IF EXISTS audit_events_actor_id;
CREATE INDEX CONCURRENTLY audit_events_actor_id ON audit_events (actor_id) WHERE actor_id IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS audit_events_actor;

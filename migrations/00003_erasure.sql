-- The entries of the audit trail by who acted: erasing an account takes its addresses out of the trail.

-- +goose NO TRANSACTION
-- +goose Up

-- Every login writes to this table, so the index is made beside the writes. What a run that was cut off has left
-- of it is of no use.
DROP INDEX CONCURRENTLY IF EXISTS audit_events_actor_id;
CREATE INDEX CONCURRENTLY audit_events_actor_id ON audit_events (actor_id) WHERE actor_id IS NOT NULL;

-- +goose Down

DROP INDEX CONCURRENTLY IF EXISTS audit_events_actor_id;

-- Events that the broker refuses: the number of refusals, and the time of the next attempt. Until then, they block only later
-- events of the same user.

-- +goose NO TRANSACTION
-- +goose Up

-- An event with retry_at is deferred: it was refused, or it waits behind a refused event of its user.
-- +goose StatementBegin
DO $$
BEGIN
    SET LOCAL lock_timeout = '200ms';
    ALTER TABLE outbox
        ADD COLUMN IF NOT EXISTS refusals  integer NOT NULL DEFAULT 0, -- consecutive refusals by the broker
        ADD COLUMN IF NOT EXISTS retry_at  timestamptz,
        ADD COLUMN IF NOT EXISTS parked_at timestamptz,
        ADD COLUMN IF NOT EXISTS refusal   text; -- the last reason
END
$$;
-- +goose StatementEnd

-- Every change writes to this table, so the indexes are created concurrently. An index left by an interrupted run is invalid.
DROP INDEX CONCURRENTLY IF EXISTS outbox_ready;
CREATE INDEX CONCURRENTLY outbox_ready ON outbox (id) WHERE retry_at IS NULL;
DROP INDEX CONCURRENTLY IF EXISTS outbox_due;
CREATE INDEX CONCURRENTLY outbox_due ON outbox (retry_at, id) WHERE retry_at IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS outbox_deferred;
CREATE INDEX CONCURRENTLY outbox_deferred ON outbox (subject, id) WHERE retry_at IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS outbox_refused;
CREATE INDEX CONCURRENTLY outbox_refused ON outbox (parked_at, id) WHERE refusals > 0;

-- +goose Down

-- The events remain, and each batch retries them.
DROP INDEX CONCURRENTLY IF EXISTS outbox_refused;
DROP INDEX CONCURRENTLY IF EXISTS outbox_deferred;
DROP INDEX CONCURRENTLY IF EXISTS outbox_due;
DROP INDEX CONCURRENTLY IF EXISTS outbox_ready;
ALTER TABLE outbox
    DROP COLUMN IF EXISTS refusals, DROP COLUMN IF EXISTS retry_at, DROP COLUMN IF EXISTS parked_at, DROP COLUMN IF EXISTS refusal;

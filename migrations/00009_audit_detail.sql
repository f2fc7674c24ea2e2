-- The detail of an audit entry, and actors without an account.

-- +goose Up

SET LOCAL lock_timeout = '1s'; -- who waits for the lock makes others wait
ALTER TABLE audit_events
    ADD COLUMN actor  text,  -- who acted without an account of its own: cli
    ADD COLUMN detail jsonb; -- names, ids and counts; no personal data

-- +goose Down

ALTER TABLE audit_events DROP COLUMN actor, DROP COLUMN detail;

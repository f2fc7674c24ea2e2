-- The detail of an audit entry, and actors without an account.

-- +goose Up

SET LOCAL lock_timeout = '200ms';
ALTER TABLE audit_events
    ADD COLUMN actor  text,  -- an actor without an account: cli
    ADD COLUMN detail jsonb; -- names, ids and counts; no personal data

-- +goose Down

ALTER TABLE audit_events DROP COLUMN actor, DROP COLUMN detail;

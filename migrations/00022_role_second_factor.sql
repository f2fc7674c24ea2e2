-- Roles whose permissions count only in sessions with a second factor.

-- +goose Up

SET LOCAL lock_timeout = '200ms';
ALTER TABLE roles ADD COLUMN second_factor boolean NOT NULL DEFAULT false;

-- +goose Down

ALTER TABLE roles DROP COLUMN second_factor;

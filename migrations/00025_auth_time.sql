-- The time of the login, for sessions that did not begin with one: a password change opens a session with the methods of the old one.

-- +goose Up

SET LOCAL lock_timeout = '200ms';
ALTER TABLE sessions ADD COLUMN auth_time timestamptz; -- NULL: created_at

-- +goose Down

ALTER TABLE sessions DROP COLUMN auth_time;

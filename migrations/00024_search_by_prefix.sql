-- Indexes for the search by the beginning of an email or a name. The search returns users in the order of their ids. An index of the whole
-- email has them in another order, so a search would have to read all matching users. These indexes have the order of the ids for each
-- beginning of one, two or three characters.

-- +goose NO TRANSACTION
-- +goose Up

-- Every registration writes to this table, so the indexes are created concurrently. An index left by an interrupted run is invalid.
DROP INDEX CONCURRENTLY IF EXISTS users_email_key_1;
CREATE INDEX CONCURRENTLY users_email_key_1 ON users (left(email_key, 1), id);
DROP INDEX CONCURRENTLY IF EXISTS users_email_key_2;
CREATE INDEX CONCURRENTLY users_email_key_2 ON users (left(email_key, 2), id);
DROP INDEX CONCURRENTLY IF EXISTS users_email_key_3;
CREATE INDEX CONCURRENTLY users_email_key_3 ON users (left(email_key, 3), id);
DROP INDEX CONCURRENTLY IF EXISTS users_name_key_1;
CREATE INDEX CONCURRENTLY users_name_key_1 ON users (left(name_key, 1), id) WHERE name_key IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS users_name_key_2;
CREATE INDEX CONCURRENTLY users_name_key_2 ON users (left(name_key, 2), id) WHERE name_key IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS users_name_key_3;
CREATE INDEX CONCURRENTLY users_name_key_3 ON users (left(name_key, 3), id) WHERE name_key IS NOT NULL;

-- +goose Down

DROP INDEX CONCURRENTLY IF EXISTS users_name_key_3;
DROP INDEX CONCURRENTLY IF EXISTS users_name_key_2;
DROP INDEX CONCURRENTLY IF EXISTS users_name_key_1;
DROP INDEX CONCURRENTLY IF EXISTS users_email_key_3;
DROP INDEX CONCURRENTLY IF EXISTS users_email_key_2;
DROP INDEX CONCURRENTLY IF EXISTS users_email_key_1;

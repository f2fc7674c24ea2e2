-- Marks imported password hashes: they are hashes of the password as typed, with the costs of their origin.
--
-- Accounts that were imported before this migration have NULL, as accounts that were not imported. Their argon2id hashes
-- match only the NFKC form of the password, and logins do not imitate their costs. This is accepted, because nothing was
-- released then, and trying both forms would cost a second hash.

-- +goose NO TRANSACTION
-- +goose Up

-- A hash is the imported one while it has this prefix. The prefix stays when the hash is replaced, and so records the costs of
-- imported accounts permanently.
-- +goose StatementBegin
DO $$
BEGIN
    SET LOCAL lock_timeout = '200ms';
    ALTER TABLE credentials
        ADD COLUMN IF NOT EXISTS imported_prefix text; -- format, costs and salt of the imported hash; NULL: not imported
END
$$;
-- +goose StatementEnd

-- An index for counting the imported hashes. It is created concurrently; an index left by an interrupted run is invalid.
DROP INDEX CONCURRENTLY IF EXISTS credentials_imported;
CREATE INDEX CONCURRENTLY credentials_imported ON credentials (user_id) WHERE imported_prefix IS NOT NULL;

-- +goose Down

DROP INDEX CONCURRENTLY IF EXISTS credentials_imported;
ALTER TABLE credentials DROP COLUMN IF EXISTS imported_prefix;

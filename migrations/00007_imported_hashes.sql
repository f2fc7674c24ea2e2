-- Which password hashes were imported: they are of the password as it was typed, and cost what they cost elsewhere.
--
-- Accounts that were imported before this have NULL as those made here. An argon2id hash of theirs matches the NFKC form of
-- the password alone, and their costs are not imitated. Nothing was released then, and to try both forms would cost a second hash.

-- +goose NO TRANSACTION
-- +goose Up

-- A hash is the imported one for as long as it begins so. The beginning stays when the hash is replaced, which tells
-- for good with which costs accounts came. The block is a transaction: who waits for the lock makes others wait.
-- +goose StatementBegin
DO $$
BEGIN
    SET LOCAL lock_timeout = '1s';
    ALTER TABLE credentials
        ADD COLUMN IF NOT EXISTS imported_prefix text; -- format, costs and salt of the imported hash; NULL: made here
END
$$;
-- +goose StatementEnd

-- The imported hashes, to be counted without the others. The index is made beside the writes; what a run that was cut
-- off has left of it is of no use.
DROP INDEX CONCURRENTLY IF EXISTS credentials_imported;
CREATE INDEX CONCURRENTLY credentials_imported ON credentials (user_id) WHERE imported_prefix IS NOT NULL;

-- +goose Down

DROP INDEX CONCURRENTLY IF EXISTS credentials_imported;
ALTER TABLE credentials DROP COLUMN IF EXISTS imported_prefix;

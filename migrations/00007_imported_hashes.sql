-- Which password hashes were imported: they are of the password as it was typed, and cost what they cost elsewhere.

-- +goose Up

-- A hash is the imported one for as long as it begins so. The beginning stays when the hash is replaced, which tells
-- for good with which costs accounts came.
ALTER TABLE credentials
    ADD COLUMN imported_prefix text; -- format, costs and salt of the imported hash; NULL: made here

-- +goose Down

ALTER TABLE credentials DROP COLUMN imported_prefix;

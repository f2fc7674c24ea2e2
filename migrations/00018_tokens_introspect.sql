-- The role admin gets the permission to introspect tokens.

-- +goose Up

SET LOCAL lock_timeout = '200ms';
UPDATE roles SET permissions = ARRAY(SELECT DISTINCT p COLLATE "C" FROM unnest(permissions || '{tokens:introspect}') p ORDER BY 1)
WHERE name = 'admin';

-- +goose Down

UPDATE roles SET permissions = array_remove(permissions, 'tokens:introspect') WHERE name = 'admin';

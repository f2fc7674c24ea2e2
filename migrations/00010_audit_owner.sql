-- Changes of existing audit entries, as functions of the schema's owner. So a separate role of the service needs no UPDATE or
-- DELETE on audit_events.
--
-- The names in the bodies are resolved now, in the migrated schema, independent of the caller's search_path.

-- +goose Up

-- Removes the origin of a user's requests, and of entries about the user, if the user has no account any longer. It keeps the
-- origin of an erasure by another user.
-- +goose StatementBegin
CREATE FUNCTION anonymize_audit_events(erased uuid) RETURNS bigint
LANGUAGE sql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH anonymized AS (
        UPDATE audit_events SET ip = NULL, request_id = NULL
        WHERE (ip IS NOT NULL OR request_id IS NOT NULL)
            AND (actor_id = erased OR user_id = erased AND action <> 'user_deleted')
            AND NOT EXISTS (SELECT FROM users WHERE users.id = erased)
        RETURNING 1)
    SELECT count(*) FROM anonymized;
END;
-- +goose StatementEnd

-- Deletes a limited number of entries older than the retention, by the server's clock. The minimum retention is an hour, as for
-- AUDIT_RETENTION. Entries are found by their key: a UUIDv7 begins with the time in milliseconds.
-- +goose StatementBegin
CREATE FUNCTION delete_expired_audit_events(retention interval, batch integer) RETURNS bigint
LANGUAGE sql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH deleted AS (
        DELETE FROM audit_events WHERE ctid = ANY (ARRAY(
            SELECT expired.ctid FROM audit_events AS expired
            WHERE expired.id < (lpad(to_hex(greatest(
                floor(extract(epoch FROM now() - greatest(retention, interval '1 hour')) * 1000), 0)::bigint), 12, '0')
                || repeat('0', 20))::uuid
            LIMIT batch FOR UPDATE SKIP LOCKED))
        RETURNING 1)
    SELECT count(*) FROM deleted;
END;
-- +goose StatementEnd

-- On a shared server, only roles that may insert entries may call the functions.
REVOKE EXECUTE ON FUNCTION anonymize_audit_events(uuid), delete_expired_audit_events(interval, integer) FROM PUBLIC;
-- +goose StatementBegin
DO $$
DECLARE
    service text;
BEGIN
    FOR service IN
        SELECT DISTINCT CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END
        FROM pg_class c, aclexplode(c.relacl) AS acl
        WHERE c.oid = 'audit_events'::regclass AND acl.privilege_type = 'INSERT' AND acl.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION anonymize_audit_events(uuid), delete_expired_audit_events(interval, integer) TO %s', service);
    END LOOP;
END $$;
-- +goose StatementEnd

-- +goose Down

DROP FUNCTION anonymize_audit_events(uuid), delete_expired_audit_events(interval, integer);

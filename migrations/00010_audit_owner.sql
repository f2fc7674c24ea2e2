-- What the service does to entries of the audit trail that are there, as functions of the owner of the schema. So the
-- service's own role, where it has one, needs no UPDATE and no DELETE on audit_events.
--
-- The names in the bodies are resolved now, in the schema that is migrated, whatever the search_path of a caller is.

-- +goose Up

-- Takes out of the trail where a user's requests came from, and those about the user, of a user who has no account (any
-- more). Where an erasure by somebody else came from is left: it is not the user's.
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

-- Deletes entries that are older than the retention by the server's clock, at most so many. The least retention is an
-- hour, as that of AUDIT_RETENTION. Entries are found by their key: a UUIDv7 begins with the time in milliseconds.
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

-- On a server that others use too, not everybody may call them, but whoever makes entries.
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

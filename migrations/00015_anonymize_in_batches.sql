-- anonymize_audit_events with a limit: an account may have more entries than one statement can change in time.

-- +goose Up

-- +goose StatementBegin
CREATE FUNCTION anonymize_audit_events(erased uuid, batch integer) RETURNS bigint
LANGUAGE sql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH anonymized AS (
        UPDATE audit_events SET ip = NULL, request_id = NULL
        WHERE ctid = ANY (ARRAY(
            SELECT entry.ctid FROM audit_events AS entry
            WHERE (entry.ip IS NOT NULL OR entry.request_id IS NOT NULL)
                AND (entry.actor_id = erased OR entry.user_id = erased AND entry.action <> 'user_deleted')
                AND NOT EXISTS (SELECT FROM users WHERE users.id = erased)
            LIMIT batch FOR UPDATE SKIP LOCKED))
        RETURNING 1)
    SELECT count(*) FROM anonymized;
END;
-- +goose StatementEnd

-- Roles that may call the function without a limit may call this one.
REVOKE EXECUTE ON FUNCTION anonymize_audit_events(uuid, integer) FROM PUBLIC;
-- +goose StatementBegin
DO $$
DECLARE
    service text;
BEGIN
    FOR service IN
        SELECT DISTINCT CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END
        FROM pg_proc p, aclexplode(p.proacl) AS acl
        WHERE p.oid = 'anonymize_audit_events(uuid)'::regprocedure AND acl.privilege_type = 'EXECUTE' AND acl.grantee <> p.proowner
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION anonymize_audit_events(uuid, integer) TO %s', service);
    END LOOP;
END $$;
-- +goose StatementEnd

-- +goose Down

DROP FUNCTION anonymize_audit_events(uuid, integer);

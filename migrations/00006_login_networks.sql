-- Login failures by network, and the networks from which users have logged in.
--
-- login_failures now counts the failures for an email from all networks together. A backoff that is in force during this
-- migration continues on all networks except those from which the user has logged in. The same holds for a backoff that a replica
-- of the previous version begins during the migration.

-- +goose NO TRANSACTION
-- +goose Up

-- Consecutive failures, of logins by email and network, and of reauthentication.
CREATE TABLE IF NOT EXISTS password_failures (
    subject_hash  bytea       NOT NULL, -- SHA-256 of the folded email, or of the 16 bytes of the user's id
    network       cidr        NOT NULL, -- IPv4 /24, IPv6 /56; 0.0.0.0/0 without an address, and for reauthentication
    failures      integer     NOT NULL,
    failed_at     timestamptz NOT NULL,
    blocked_until timestamptz NOT NULL,
    PRIMARY KEY (subject_hash, network)
);
CREATE INDEX IF NOT EXISTS password_failures_failed_at ON password_failures (failed_at);

-- The foreign key to users comes last, because with it each inserted row locks its user until the end of the transaction.
CREATE TABLE IF NOT EXISTS login_networks (
    user_id        uuid        NOT NULL,
    network        cidr        NOT NULL, -- as above
    first_login_at timestamptz NOT NULL,
    last_login_at  timestamptz NOT NULL,
    PRIMARY KEY (user_id, network)
);
CREATE INDEX IF NOT EXISTS login_networks_last_login_at ON login_networks (last_login_at);

-- The time of the last user.locked_out event, at most one an hour.
-- +goose StatementBegin
DO $$
BEGIN
    SET LOCAL lock_timeout = '200ms';
    ALTER TABLE credentials ADD COLUMN IF NOT EXISTS locked_out_at timestamptz;
END
$$;
-- +goose StatementEnd

-- Logins of the last 90 days, from the audit trail. Its ids are UUIDv7, which begin with the milliseconds since 1970. Each
-- transaction handles a thousand users.
-- +goose StatementBegin
DO $$
DECLARE
    since uuid := rpad(lpad(to_hex((extract(epoch FROM now() - interval '90 days') * 1000)::bigint), 12, '0'), 32, '0')::uuid;
    last  uuid := '00000000-0000-0000-0000-000000000000';
    batch uuid[];
BEGIN
    IF EXISTS (SELECT FROM pg_constraint WHERE conrelid = 'login_networks'::regclass AND contype = 'f') THEN
        RETURN; -- an earlier run has completed this block
    END IF;
    LOOP
        SELECT array_agg(id ORDER BY id) INTO batch FROM (SELECT id FROM users WHERE id > last ORDER BY id LIMIT 1000) AS next;
        EXIT WHEN batch IS NULL;
        INSERT INTO login_networks (user_id, network, first_login_at, last_login_at)
        SELECT user_id, network(set_masklen(ip, CASE family(ip) WHEN 4 THEN 24 ELSE 56 END)), min(time), max(time)
        FROM audit_events
        WHERE user_id = ANY (batch) AND id >= since AND action = 'authn_login_success' AND ip IS NOT NULL
        GROUP BY 1, 2
        ON CONFLICT DO NOTHING;
        last := batch[array_upper(batch, 1)];
        COMMIT;
    END LOOP;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
DO $$
BEGIN
    SET LOCAL lock_timeout = '200ms';
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = 'login_networks'::regclass AND contype = 'f') THEN
        ALTER TABLE login_networks ADD CONSTRAINT login_networks_user_id_fkey
            FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE NOT VALID;
    END IF;
END
$$;
-- +goose StatementEnd
-- Users that were erased during the migration.
DELETE FROM login_networks n WHERE NOT EXISTS (SELECT FROM users u WHERE u.id = n.user_id);
ALTER TABLE login_networks VALIDATE CONSTRAINT login_networks_user_id_fkey; -- locks no user

-- +goose Down

-- Backoffs remain in force, now on all networks.
-- +goose StatementBegin
DO $$
BEGIN
    IF to_regclass('password_failures') IS NOT NULL THEN
        INSERT INTO login_failures (email_hash, failures, failed_at, blocked_until)
        SELECT subject_hash, max(failures), max(failed_at), max(blocked_until)
        FROM password_failures WHERE blocked_until > now() GROUP BY subject_hash
        ON CONFLICT (email_hash) DO UPDATE SET
            failures = greatest(login_failures.failures, excluded.failures),
            failed_at = greatest(login_failures.failed_at, excluded.failed_at),
            blocked_until = greatest(login_failures.blocked_until, excluded.blocked_until);
        DROP TABLE password_failures;
    END IF;
END
$$;
-- +goose StatementEnd
DROP TABLE IF EXISTS login_networks;
ALTER TABLE credentials DROP COLUMN IF EXISTS locked_out_at;

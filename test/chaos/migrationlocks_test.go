package chaos_test

import "testing"

// locks records the locks of migrations that conflict with the statements of requests. It ignores tables that the running migration
// created.
const locks = `
	CREATE SCHEMA chaos;
	GRANT USAGE ON SCHEMA chaos TO app;
	CREATE TABLE chaos.existing (name text PRIMARY KEY);
	CREATE TABLE chaos.locks (transaction bigint, migration bigint, name text, lock_timeout interval);
	CREATE FUNCTION chaos.record() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
	BEGIN
		INSERT INTO chaos.locks
		SELECT txid_current(), (SELECT max(version_id) + 1 FROM goose_db_version WHERE is_applied), c.relname,
			current_setting('lock_timeout')::interval
		FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN chaos.existing e ON e.name = c.relname
		WHERE l.pid = pg_backend_pid() AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock');
	END $$;
	CREATE FUNCTION chaos.remember() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
	BEGIN
		INSERT INTO chaos.existing SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE 'goose%'
		ON CONFLICT DO NOTHING;
		RETURN NULL;
	END $$;
	CREATE TRIGGER remember AFTER INSERT ON goose_db_version EXECUTE FUNCTION chaos.remember();
	CREATE EVENT TRIGGER locks ON ddl_command_end EXECUTE FUNCTION chaos.record()`

// TestMigrationsLockOneTableBriefly checks the rules of package migrations. A transaction that locks two tables can get into a deadlock
// with a request. A transaction that waits long for a lock delays the requests behind it.
func TestMigrationsLockOneTableBriefly(t *testing.T) {
	t.Parallel()
	m := &migrations{t: t, server: newPostgreSQL(t)}
	if err := m.server.up(); err != nil {
		t.Fatal(err)
	}
	m.up("app", "up")
	for range requiredSchema(t) {
		m.up("app", "down")
	}
	m.sql("app", locks)
	m.up("app", "up")
	var recorded int
	m.query("app", `SELECT count(DISTINCT migration) FROM chaos.locks`, &recorded)
	if recorded < 10 {
		t.Errorf("locks of %d migrations were recorded, want at least 10", recorded)
	}
	var wrong []string
	m.query("app", `
		SELECT coalesce(array_agg(format('migration %s locks %s in one transaction, with a lock_timeout of %s', migration, names, longest)
			ORDER BY migration), '{}')
		FROM (SELECT migration, string_agg(DISTINCT name, ' and ') AS names, count(DISTINCT name) AS tables,
				max(lock_timeout) AS longest, min(lock_timeout) AS shortest
			FROM chaos.locks GROUP BY transaction, migration) AS t
		WHERE tables > 1 OR longest > '200ms' OR shortest = '0'`, &wrong)
	for _, message := range wrong {
		t.Error(message)
	}
}

package chaos_test

import (
	"context"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"user-service/internal/testkit"
	"user-service/pkg/postgres"
)

// TestAKilledMigrationIsFinishedByTheNext interrupts each migration midway: it kills the process with SIGKILL, or terminates its database
// session. The next run must end with the same schema and data as an undisturbed run.
func TestAKilledMigrationIsFinishedByTheNext(t *testing.T) {
	t.Parallel()
	m := newMigrations(t)
	newest := requiredSchema(t)
	killed := 0
	for version := newest; version > 0; version-- {
		m.up("app", "down")
		m.copy("undisturbed")
		m.up("undisturbed", "up")
		m.copy("killed")
		last := m.commands("undisturbed", version)
		for _, at := range killPoints(version, last) {
			if !m.kill(version, at) {
				break // the migration continues after its last committed command, and has fewer commands left
			}
			killed++
		}
		m.up("killed", "up")
		if diff := cmp.Diff(m.dump("undisturbed"), m.dump("killed")); diff != "" {
			t.Errorf("after migration %d was killed the database differs: %s", version, diff)
		}
		m.sql("postgres", `DROP DATABASE undisturbed`, `DROP DATABASE killed`)
	}
	t.Logf("%d migrations, killed %d times", newest, killed)
	if killed < int(newest) {
		t.Errorf("%d migrations were killed, want each of %d", killed, newest)
	}
}

// killPoint is the command of a migration after which the process or its session is killed.
type killPoint struct {
	command int
	session bool // terminates the session; otherwise the process is killed
}

// killPoints returns the points at which a migration is killed. By default this is one point, in the middle of the commands. With
// -everywhere there are two points after each command: one kills the process, the other one terminates the session.
func killPoints(version int64, commands int) (all []killPoint) {
	if !*everywhere {
		return []killPoint{{1 + commands/2, version%2 == 0}}
	}
	for command := 1; command <= commands; command++ {
		all = append(all, killPoint{command, true}, killPoint{command, false})
	}
	return all
}

// migrations holds databases of a separate server, whose migrations wait at a gate. The database app has the schema before the
// tested migration.
type migrations struct {
	t      *testing.T
	server *server
}

// gate makes a migration wait after the command with the number in chaos.gate. It counts the commands that change the schema, an account or
// a role.
const gate = `
	CREATE TABLE chaos.gate (version bigint, command bigint);
	CREATE FUNCTION chaos.pass() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
	DECLARE
		running bigint;
		carried bigint;
	BEGIN
		SELECT max(version_id) + 1 INTO running FROM goose_db_version WHERE is_applied;
		IF to_regclass('chaos.commands_' || running) IS NOT NULL THEN
			carried := nextval('chaos.commands_' || running);
			WHILE EXISTS (SELECT FROM chaos.gate g WHERE g.version = running AND g.command <= carried) LOOP
				PERFORM pg_sleep(0.01);
			END LOOP;
		END IF;
	END $$;
	GRANT USAGE ON SCHEMA chaos TO app;
	CREATE FUNCTION chaos.changed() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM chaos.pass(); RETURN NULL; END';
	CREATE TRIGGER gate AFTER UPDATE ON users FOR EACH ROW EXECUTE FUNCTION chaos.changed();
	CREATE TRIGGER gate AFTER UPDATE ON roles FOR EACH ROW EXECUTE FUNCTION chaos.changed();
	CREATE FUNCTION chaos.defined() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM chaos.pass(); END';
	CREATE EVENT TRIGGER gate ON ddl_command_end EXECUTE FUNCTION chaos.defined()`

// accounts inserts rows that migrations change: users whose keys of the email and the name follow an earlier rule, and audit entries of
// logins.
const accounts = `
	INSERT INTO users (id, email, email_key, name, name_key, status, version, created_at, updated_at)
	SELECT ('00000000-0000-7000-8000-00000000000' || n)::uuid, e, 'old ' || n, 'Ärger ' || n, 'old', 'active', 1, '2026-01-01', '2026-01-01'
	FROM unnest(ARRAY['Ärger@example.com', E'A\u0308rger@example.com', 'user@xn--bcher-kva.example']) WITH ORDINALITY AS t (e, n);
	INSERT INTO audit_events (id, time, action, user_id, ip)
	SELECT (rpad(lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0'), 31, '0') || n)::uuid,
		'2026-01-01', 'authn_login_success',
		('00000000-0000-7000-8000-00000000000' || n)::uuid, ('198.51.100.' || n)::inet
	FROM generate_series(1, 3) n`

// requiredSchema returns the number of migrations.
func requiredSchema(t *testing.T) int64 {
	t.Helper()
	newest, err := postgres.RequiredSchema()
	if err != nil {
		t.Fatal(err)
	}
	return newest
}

func newMigrations(t *testing.T) *migrations {
	t.Helper()
	m := &migrations{t: t, server: newPostgreSQL(t)}
	if err := m.server.up(); err != nil {
		t.Fatal(err)
	}
	m.up("app", "up")
	m.sql("app", accounts, `CREATE SCHEMA chaos`)
	for version := range requiredSchema(t) {
		m.sql("app", fmt.Sprintf(`CREATE SEQUENCE chaos.commands_%d`, version+1))
	}
	m.sql("app", gate)
	return m
}

// url returns the URL of a database for a role.
func (m *migrations) url(database, role string) *url.URL {
	u := m.server.as(role)
	u.Path = "/" + database
	return u
}

// up runs the migrate command of the program.
func (m *migrations) up(database, direction string) {
	m.t.Helper()
	runProgram(m.t, program, settings{"DATABASE_URL": m.url(database, "app").String()}, "", "migrate", direction)
}

func (m *migrations) sql(database string, statements ...string) {
	m.t.Helper()
	for _, statement := range statements {
		m.query(database, statement, nil)
	}
}

// query runs a statement as the superuser. If value is not nil, it gets one value of the first row.
func (m *migrations) query(database, statement string, value any) {
	m.t.Helper()
	err := connected(m.t.Context(), m.url(database, "postgres").String(), func(conn *pgx.Conn) error {
		if value != nil {
			return conn.QueryRow(m.t.Context(), statement).Scan(value)
		}
		_, err := conn.Exec(m.t.Context(), statement)
		return err
	})
	if err != nil {
		m.t.Fatalf("%.200s: %v", statement, err)
	}
}

func (m *migrations) copy(database string) {
	m.t.Helper()
	m.sql("postgres", `CREATE DATABASE `+database+` TEMPLATE app OWNER app`)
}

// commands returns the number of completed commands of a migration.
func (m *migrations) commands(database string, version int64) (n int) {
	m.t.Helper()
	m.query(database, fmt.Sprintf(`SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM chaos.commands_%d`, version), &n)
	if n == 0 {
		m.t.Fatalf("migration %d has no command after which it can be killed", version)
	}
	return n
}

// kill runs the migrations, and kills the process or its session after a command of a migration. It reports whether the migration
// reached that command.
func (m *migrations) kill(version int64, at killPoint) bool {
	m.t.Helper()
	m.sql("killed", fmt.Sprintf(`INSERT INTO chaos.gate VALUES (%d, %d)`, version, at.command),
		fmt.Sprintf(`SELECT setval('chaos.commands_%d', 1, false)`, version))
	p := &process{}
	cmd := exec.Command(program, "migrate", "up")
	cmd.Env = environment(settings{"DATABASE_URL": m.url("killed", "app").String()})
	if err := p.launch(cmd); err != nil {
		m.t.Fatal(err)
	}
	defer p.kill()
	const atTheGate = `FROM pg_stat_activity WHERE datname = 'killed' AND wait_event = 'PgSleep'`
	came := false
	testkit.WaitFor(m.t, fmt.Sprintf("command %d of migration %d", at.command, version), func() bool {
		m.query("postgres", `SELECT EXISTS (SELECT `+atTheGate+`)`, &came)
		return came || p.hasEnded()
	})
	switch {
	case came && !at.session:
		p.kill()
	case came:
		m.sql("postgres", `SELECT pg_terminate_backend(pid) `+atTheGate)
		testkit.WaitFor(m.t, "the end of the migration", p.hasEnded)
	}
	if came == p.cmd.ProcessState.Success() {
		m.t.Errorf("migration %d was killed at %+v: %t, but its process ended with %s:\n%s", version, at, came,
			p.cmd.ProcessState, p.log.Tail(5))
	}
	m.sql("killed", `DELETE FROM chaos.gate`)
	testkit.WaitFor(m.t, "the end of the session", func() (ended bool) {
		m.query("postgres", `SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'killed')`, &ended)
		return ended
	})
	m.sql("killed", `UPDATE goose_lock SET lease_expires_at = now()`) // so that the next run need not wait for ten seconds
	return came
}

// dump returns the sorted lines that describe the schema and the data of a database. The lines are sorted, because rows have no order.
func (m *migrations) dump(database string) []string {
	m.t.Helper()
	bin, _ := programOf(m.t, m.server)
	cmd := exec.CommandContext(context.Background(), filepath.Join(bin, "pg_dump"), "--schema=public", "--exclude-table=goose*",
		m.url(database, "postgres").String())
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.t.Fatalf("dump a database: %v: %s", err, out)
	}
	lines := slices.DeleteFunc(strings.Split(string(out), "\n"), func(line string) bool {
		return strings.HasPrefix(line, `\restrict`) || strings.HasPrefix(line, `\unrestrict`)
	})
	slices.Sort(lines)
	return lines
}

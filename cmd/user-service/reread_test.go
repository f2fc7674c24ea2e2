package main

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"

	"user-service/internal/testkit"
	"user-service/pkg/postgres/postgrestest"
)

func TestARotatedDatabasePasswordNeedsNoRestart(t *testing.T) {
	t.Parallel()
	role := postgrestest.NewRole(t, "planted-old-password")
	env := replicaEnvironment(t)
	dsn := env["DATABASE_URL"]
	role.Use(dsn)
	r := startReplica(t, env, map[string]string{"DATABASE_URL": role.URL(dsn, "planted-old-password")})
	account := map[string]string{"email": env["EMAIL"], "password": env["PASSWORD"]}
	r.must("POST", "/register", account, nil)

	next := role.URL(dsn, "planted-new-password")
	r.swap(map[string]string{"DATABASE_URL": next}) // before the role has the new password
	if !testkit.Await(context.Background(), patience, func() bool {
		return strings.Contains(r.log.String(), "is refused by the server with the code 28P01")
	}) {
		t.Fatalf("a wrong password was not reported:\n%s", r.otherLogs())
	}
	r.must("POST", "/login", account, nil)
	role.SetPassword("planted-new-password")
	r.rotate(map[string]string{"DATABASE_URL": next}, 1)
	r.must("POST", "/login", account, nil)
	if strings.Contains(r.log.String(), "planted-") {
		t.Errorf("the log contains a password or an email: %s", r.log)
	}
}

// TestARotatedBrokerPasswordNeedsNoRestart starts a replica with a wrong password for the broker, and then corrects the password.
func TestARotatedBrokerPasswordNeedsNoRestart(t *testing.T) {
	t.Parallel()
	env := replicaEnvironment(t)
	good := env["RABBITMQ_PASS"]
	r := startReplica(t, env, map[string]string{"RABBITMQ_PASS": "planted-wrong-password"})
	if !testkit.Await(context.Background(), patience,
		func() bool { return strings.Contains(r.log.String(), "no connection to RabbitMQ") }) {
		t.Fatalf("the broker accepts any password:\n%s", r.otherLogs())
	}
	r.rotate(map[string]string{"RABBITMQ_PASS": good}, 1)
	if !testkit.Await(context.Background(), patience, func() bool { return r.brokerIs() == "ok" }) {
		t.Errorf("the broker is %s: %s", r.brokerIs(), r.otherLogs())
	}
	if strings.Contains(r.log.String(), good) || strings.Contains(r.log.String(), "planted-") {
		t.Errorf("the log contains a password: %s", r.log)
	}
}

// brokerIs returns the state of the broker in /readyz.
func (r *replica) brokerIs() string {
	r.t.Helper()
	var ready struct {
		Checks map[string]struct{ Status string }
	}
	if status, err := r.send(http.MethodGet, "/readyz", "", nil, &ready); err != nil || status != http.StatusOK {
		return "unknown"
	}
	return ready.Checks["rabbitmq"].Status
}

// TestABrokerThatHasMovedNeedsNoRestart starts a replica with a port that has no broker, and then corrects the port. A later change to a
// host that does not exist must not be applied.
func TestABrokerThatHasMovedNeedsNoRestart(t *testing.T) {
	t.Parallel()
	env := replicaEnvironment(t)
	files := map[string]string{"RABBITMQ_HOST": env["RABBITMQ_HOST"], "RABBITMQ_PORT": "1", "RABBITMQ_USER": "nobody"}
	r := startReplica(t, env, files)
	if !testkit.Await(context.Background(), patience,
		func() bool { return strings.Contains(r.log.String(), "no connection to RabbitMQ") }) {
		t.Fatalf("a broker accepts connections on port 1:\n%s", r.otherLogs())
	}
	files["RABBITMQ_PORT"], files["RABBITMQ_USER"] = env["RABBITMQ_PORT"], env["RABBITMQ_USER"]
	r.rotate(files, 2)
	if !testkit.Await(context.Background(), patience, func() bool { return r.brokerIs() == "ok" }) {
		t.Fatalf("the broker is %s: %s", r.brokerIs(), r.otherLogs())
	}
	files["RABBITMQ_HOST"] = "nowhere.invalid"
	r.swap(files)
	if !testkit.Await(context.Background(), patience, func() bool {
		return strings.Contains(r.log.String(), "does not lead to a broker that responds")
	}) {
		t.Fatalf("a host that does not exist was applied: %s", r.otherLogs())
	}
	if r.brokerIs() != "ok" {
		t.Errorf("the broker is %s: %s", r.brokerIs(), r.otherLogs())
	}
}

// TestReadinessReportsProblemsOfTheDatabase checks the errors that /readyz shows.
func TestReadinessReportsProblemsOfTheDatabase(t *testing.T) {
	t.Parallel()
	role := postgrestest.NewRole(t, "planted-password")
	env := replicaEnvironment(t)
	restricted := role.URL(env["DATABASE_URL"], "planted-password")
	const rights = "EXECUTE on anonymize_audit_events(uuid, integer), INSERT on audit_events, SELECT on audit_events, DELETE on " +
		"credentials, "
	for name, test := range map[string]struct{ dsn, check, want string }{
		"no permissions": {restricted, "schema", "unknown: the service's role may not read goose_db_version; grant it SELECT"},
		"the rights":     {restricted, "database", "the service's role lacks privileges: " + rights},
		"the encoding":   {postgrestest.InEncoding(t, "LATIN1"), "database", "the database's encoding is LATIN1; create it with"},
		"the migration":  {postgrestest.Empty(t), "schema", "version 0 is below"},
	} {
		t.Run(name, func(t *testing.T) {
			env := maps.Clone(env)
			env["DATABASE_URL"] = test.dsn
			r := startReplica(t, env, nil)
			var got string
			if !testkit.Await(context.Background(), patience, func() bool { // a busy machine may be slow
				var ready struct {
					Checks map[string]struct{ Detail string }
				}
				status, err := r.ready(&ready)
				got = ready.Checks[test.check].Detail
				return err == nil && status == http.StatusServiceUnavailable && strings.HasPrefix(got, test.want)
			}) {
				t.Errorf("%s: %q, want %q", test.check, got, test.want)
			}
			login := map[string]string{"email": "a@example.com", "password": "seven green kettles sing"}
			if status, err := r.send("POST", "/login", "", login, nil); err != nil || status != http.StatusServiceUnavailable {
				t.Errorf("a login gets %d (error %v), want 503", status, err)
			}
		})
	}
}

// ready decodes the response of /readyz, regardless of its status.
func (r *replica) ready(out any) (int, error) {
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.api+"/readyz", nil)
	if err != nil {
		return 0, err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	return resp.StatusCode, json.NewDecoder(resp.Body).Decode(out)
}

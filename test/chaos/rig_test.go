package chaos_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"user-service/internal/testkit"
	"user-service/test/chaos/faultproxy"
	"user-service/test/chaos/history"
)

const replicaCount = 2

// rig holds everything of a run: its servers, the replicas behind proxies, and the history.
type rig struct {
	t        *testing.T
	seed     int64
	program  string // the build that the replicas run first
	began    time.Time
	primary  database       // changes when a standby is promoted: see server
	standby  *standbyServer // nil: none, or already promoted
	pooler   *pooler        // nil: none
	broker   *broker
	disk     *disk
	secrets  *secretFiles
	password string // the current password of the service's role
	replicas [replicaCount]*service

	toPostgres [replicaCount]*faultproxy.Proxy
	toRabbit   [replicaCount]*faultproxy.Proxy

	mu         sync.Mutex
	faults     []*history.Fault
	ops        []history.Op
	samples    []history.Sample
	violations []history.Violation // found during the run
	given      map[string]bool
	lastOp     int
	adminToken string
	mail       map[string][]string // received reset tokens, by user
	ready      *[replicaCount]bool // the replicas that get requests; nil: all
}

// newRig starts the servers and the replicas, and waits until the replicas are ready.
func newRig(t *testing.T, seed int64, topology topology, program string) *rig {
	t.Helper()
	r := &rig{t: t, seed: seed, program: program, began: time.Now(), given: map[string]bool{}, mail: map[string][]string{}}
	postgres := newPostgreSQL(t)
	r.sayImpossible(topology)
	nodes := 1
	if topology.has(cluster) {
		nodes = 3
	}
	r.primary, r.broker = postgres, newBroker(t, nodes)
	var starting errgroup.Group
	starting.Go(r.broker.up)
	if err := postgres.up(); err != nil {
		t.Fatal(err)
	}
	direct := r.primary.as("app").String()
	reached := postgres.env["DATABASE_URL"]
	if topology.has(pooled) {
		r.pooler = newPooler(t, direct)
		reached = r.pooler.URL
	}
	runProgram(t, program, settings{"DATABASE_URL": reached, "MIGRATION_DATABASE_URL": direct}, "", "migrate", "up")
	if err := r.sql(t.Context(), `CREATE SCHEMA chaos AUTHORIZATION app`, `CREATE TABLE chaos.probes (at timestamptz)`,
		`ALTER TABLE chaos.probes OWNER TO app`, setClock); err != nil {
		t.Fatal(err)
	}
	switch {
	case topology.has(plain) && mountable() == nil:
		r.disk = newDisk(t, r)
	case topology.has(standby):
		r.standby = newStandby(t, r)
	}
	if err := starting.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := r.onBroker(r.bind); err != nil {
		t.Fatal(err)
	}
	r.startReplicas()
	r.makeAdmin()
	return r
}

// startReplicas starts the replicas, each behind its own proxies. They read their secrets from files.
func (r *rig) startReplicas() {
	r.t.Helper()
	dir := r.t.TempDir()
	r.secrets = &secretFiles{dir: dir, keys: []string{newSecret(), newSecret()}, broker: r.broker.password}
	for i := range r.replicas {
		u := r.primary.as("app")
		if i == poolerReplica && r.pooler != nil {
			u, _ = url.Parse(r.pooler.URL)
		}
		r.toPostgres[i] = newProxy(r.t, u.Host)
		r.toRabbit[i] = newProxy(r.t, r.broker.node(i).addr)
		u.Host = r.toPostgres[i].Addr()
		r.secrets.urls[i] = u.String() + "&application_name=" + applicationName(i)
		host, port, _ := strings.Cut(r.toRabbit[i].Addr(), ":")
		r.replicas[i] = newService(r.t, r.program, settings{
			"DATABASE_URL_FILE": r.secrets.path(urlFile(i)),
			"JWT_SECRET_FILE":   r.secrets.path("key"), "JWT_ACCEPTED_SECRETS_FILE": r.secrets.path("accepted"),
			"RABBITMQ_HOST": host, "RABBITMQ_PORT": port, "RABBITMQ_USER": r.broker.user, "RABBITMQ_PASS_FILE": r.secrets.path("broker"),
			"DATABASE_MAX_CONNS": connections(i, r.seed),
		})
	}
	if err := r.secrets.write(); err != nil {
		r.t.Fatal(err)
	}
	for _, replica := range r.replicas {
		if err := replica.start(); err != nil {
			r.t.Fatal(err)
		}
	}
}

// connections returns the size of a replica's pool. In every third seed, one replica has the smallest valid pool.
func connections(replica int, seed int64) string {
	if replica == 1 && seed/3%3 == 2 {
		return "2"
	}
	return "8"
}

func newProxy(t *testing.T, target string) *faultproxy.Proxy {
	t.Helper()
	p, err := faultproxy.New(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func newSecret() string { return rand.Text() + rand.Text() }

// applicationName is the PostgreSQL application_name of a replica.
func applicationName(replica int) string { return fmt.Sprintf("replica-%d", replica) }

// now returns the time since the start of the run.
func (r *rig) now() time.Duration { return time.Since(r.began) }

// say logs a message with the time of the run.
func (r *rig) say(format string, args ...any) {
	r.t.Helper()
	r.t.Logf("seed %d, %5.1f s: "+format, append([]any{r.seed, r.now().Seconds()}, args...)...)
}

// violate records a violation that the run finds.
func (r *rig) violate(v history.Violation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.violations = append(r.violations, v)
}

// server returns the primary PostgreSQL server.
func (r *rig) server() database {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.primary
}

// admin calls use with a superuser connection directly to the server.
func (r *rig) admin(ctx context.Context, use func(*pgx.Conn) error) error {
	return connected(ctx, r.server().as("postgres").String(), use)
}

func connected(ctx context.Context, url string, use func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(closing)
	}()
	return use(conn)
}

// sql runs statements as the superuser.
func (r *rig) sql(ctx context.Context, statements ...string) error {
	return r.admin(ctx, func(conn *pgx.Conn) error {
		for _, statement := range statements {
			if _, err := conn.Exec(ctx, statement); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		return nil
	})
}

// sqlValue reads one value as the superuser.
func (r *rig) sqlValue(ctx context.Context, query string, value any) error {
	return r.admin(ctx, func(conn *pgx.Conn) error { return conn.QueryRow(ctx, query).Scan(value) })
}

// awaitDatabase waits until new connections of a replica, or of all replicas, work and may write.
func (r *rig) awaitDatabase(ctx context.Context, replica int) error {
	for i := range r.replicas {
		if replica != history.Everywhere && replica != i {
			continue
		}
		if !testkit.Await(ctx, testkit.Timeout, func() bool { return probe(ctx, r.secrets.url(i)) == nil }) {
			return errors.New("the database does not accept connections again")
		}
	}
	return nil
}

// probe writes through a new connection.
func probe(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return connected(ctx, url, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `INSERT INTO chaos.probes VALUES (now())`)
		return err
	})
}

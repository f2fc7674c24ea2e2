package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"user-service/internal/testkit"
	"user-service/test/chaos/history"
)

// secretFaults change the files of secrets.
var secretFaults = []fault{secretsRotated, passwordsChanged}

var secretsRotated = fault{
	kind: "secrets rotated", lane: rotatedSecrets, least: 0, most: 0,
	means: history.Fault{Secrets: true},
	inject: func(_ context.Context, r *rig, _ step, f *history.Fault) error {
		f.Detail = "the key of tokens, which was accepted before, and the database's URL"
		return r.secrets.rotate()
	},
}

// passwordsChanged changes the password of the service's role and of its RabbitMQ user, and then the files. Each replica reads the files
// later, and gets no new connection until then.
var passwordsChanged = fault{
	kind: "passwords of PostgreSQL and RabbitMQ changed", lane: rotatedSecrets, least: 0, most: 0,
	means: history.Fault{Database: true, Cuts: 1},
	inject: func(ctx context.Context, r *rig, _ step, f *history.Fault) error {
		if err := r.changeBrokerPassword(ctx); err != nil {
			return err
		}
		f.Start = r.now() // until now, connections were not affected: those to RabbitMQ stay open
		changed, err := r.changeDatabasePassword(ctx)
		if err = errors.Join(err, r.secrets.write()); err != nil {
			return err
		}
		written := r.now()
		for i := range r.replicas {
			if i == poolerReplica && r.pooler != nil { // PgBouncer has the password
				continue
			}
			if !testkit.Await(ctx, testkit.Timeout, func() bool { return r.hasSessionSince(ctx, i, changed) }) {
				return fmt.Errorf("replica %d does not use the new password", i)
			}
		}
		f.Detail = fmt.Sprintf("used %s after the change of the files", (r.now() - written).Round(time.Millisecond))
		return nil
	},
}

// changeBrokerPassword changes the password of RabbitMQ's user, as soon as a node runs.
func (r *rig) changeBrokerPassword(ctx context.Context) (err error) {
	b := r.broker
	b.changing.Lock()
	defer b.changing.Unlock()
	next := newSecret()
	testkit.Await(ctx, startTime, func() bool {
		_, err = b.nodes[0].control(ctx, "rabbitmqctl", "eval", fmt.Sprintf(
			`ok = rabbit_auth_backend_internal:change_password(<<"%s">>, <<"%s">>, <<"chaos">>), mnesia:sync_log().`, b.user, next))
		return err == nil
	})
	if err == nil {
		b.password = next
		r.secrets.set(func(s *secretFiles) { s.broker = next })
	}
	return err
}

// changeDatabasePassword changes the password of the service's role as soon as the server allows the change. It also changes PgBouncer's
// copy of the password. It returns the time of the change by the server's clock.
func (r *rig) changeDatabasePassword(ctx context.Context) (changed time.Time, err error) {
	old, _ := r.server().as("app").User.Password()
	if r.password != "" {
		old = r.password
	}
	next := newSecret()
	if r.pooler != nil {
		if err := r.pooler.SetPassword(old, next); err != nil {
			return changed, err
		}
	}
	testkit.Await(ctx, testkit.Timeout, func() bool {
		err = r.sql(ctx, `ALTER ROLE app PASSWORD '`+next+`'`)
		return err == nil
	})
	if err != nil {
		return changed, err
	}
	r.password = next
	r.secrets.set(func(s *secretFiles) {
		for i := range s.urls {
			s.urls[i] = strings.Replace(s.urls[i], ":"+old+"@", ":"+next+"@", 1)
		}
	})
	testkit.Await(ctx, testkit.Timeout, func() bool {
		err = r.sqlValue(ctx, `SELECT clock_timestamp()`, &changed)
		return err == nil
	})
	return changed, errors.Join(err, r.reloadPooler(ctx))
}

// hasSessionSince reports whether a replica has a session that began after a time of the server.
func (r *rig) hasSessionSince(ctx context.Context, replica int, since time.Time) (yes bool) {
	_ = r.admin(ctx, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1 AND backend_start > $2)`,
			applicationName(replica), since).Scan(&yes)
	})
	return yes
}

// rotationTime covers reading the files again, and the lifetime of the tokens that the replicas sign in the meantime.
const rotationTime = 20 * time.Second

// secretFiles are the files from which the replicas read their secrets.
type secretFiles struct {
	mu      sync.Mutex
	dir     string
	keys    []string // token keys: the next one, which is accepted, the current one, and older ones
	urls    [replicaCount]string
	broker  string // the password
	turn    int
	rotated time.Time
}

// rotate makes the next key the current one, accepts a new next key, and changes the URLs of the database. Errors:
// errNotInjected until all replicas have read the files of the previous rotation.
func (s *secretFiles) rotate() error {
	if time.Since(s.rotated) < rotationTime {
		return fmt.Errorf("%w: the previous rotation is too recent", errNotInjected)
	}
	s.keys, s.rotated = append([]string{newSecret()}, s.keys...), time.Now()
	s.turn++
	return s.write()
}

// set changes a secret, which write then stores.
func (s *secretFiles) set(change func(*secretFiles)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// url returns the URL of the database of a replica.
func (s *secretFiles) url(replica int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.urls[replica]
}

// write replaces each file atomically.
func (s *secretFiles) write() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	files := map[string]string{"key": s.keys[1], "accepted": s.keys[0], "broker": s.broker}
	if older := s.keys[2:]; len(older) > 0 {
		files["accepted"] += "," + strings.Join(older, ",")
	}
	for i, url := range s.urls {
		files[urlFile(i)] = fmt.Sprintf("%s&pool_health_check_period=%ds", url, 60+s.turn)
	}
	for name, value := range files {
		draft := s.path(name) + ".new"
		if err := errors.Join(os.WriteFile(draft, []byte(value), 0o600), os.Rename(draft, s.path(name))); err != nil {
			return err
		}
	}
	return nil
}

func (s *secretFiles) path(name string) string { return filepath.Join(s.dir, name) }

func urlFile(replica int) string { return fmt.Sprintf("url%d", replica) }

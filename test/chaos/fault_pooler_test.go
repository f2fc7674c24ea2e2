package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"user-service/internal/testkit"
	"user-service/pkg/postgres/postgrestest"
	"user-service/test/chaos/history"
)

// pooler is a PgBouncer that faults end, and that sometimes crashes.
type pooler struct {
	*postgrestest.Pooler

	restarting sync.Mutex
}

// poolerSettings are the settings that docs/operations.md recommends. With its own defaults, PgBouncer waits 15 s for a connection to a
// server that does not answer. After a failed attempt, it opens no connection for 15 s.
var poolerSettings = []string{"server_connect_timeout = 1", "server_login_retry = 1", "query_wait_timeout = 1"}

func newPooler(t *testing.T, database string) *pooler {
	t.Helper()
	p := &pooler{Pooler: postgrestest.StartPooler(t, database, 8, poolerSettings...)}
	cleanUp(t, p.Close)
	return p
}

// restart ends the process, and starts it after a delay.
func (p *pooler) restart(ctx context.Context, after time.Duration) error {
	p.restarting.Lock()
	defer p.restarting.Unlock()
	p.Kill()
	testkit.Pause(ctx, after)
	return p.Start()
}

// revive starts the process again after a crash.
func (p *pooler) revive() (revived bool, err error) {
	p.restarting.Lock()
	defer p.restarting.Unlock()
	return p.Revive()
}

// do runs a command on PgBouncer's console.
func (p *pooler) do(ctx context.Context, command string) error {
	url := fmt.Sprintf("postgres://app@%s/pgbouncer?sslmode=disable&default_query_exec_mode=simple_protocol", p.Addr)
	return connected(ctx, url, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, command); err != nil {
			return fmt.Errorf("PgBouncer's console: %s: %w", command, err)
		}
		return nil
	})
}

// poolerReplica is the replica that connects through PgBouncer.
const poolerReplica = 1

// poolerFaults are faults of PgBouncer.
var poolerFaults = []fault{
	{
		kind: "PgBouncer reconnects", lane: betweenPooler, only: pooled, least: 0, most: 0,
		means: history.Fault{},
		inject: func(ctx context.Context, r *rig, _ step, _ *history.Fault) error {
			return r.reconnectPooler(ctx)
		},
	}, {
		kind: "PgBouncer pauses", lane: betweenPooler, only: pooled, least: 300 * time.Millisecond, most: 3 * time.Second,
		means: history.Fault{Database: true, Cuts: 1, Locks: true},
		inject: func(ctx context.Context, r *rig, s step, f *history.Fault) error {
			f.Replica = poolerReplica
			pausing, cancel := context.WithTimeout(ctx, s.lasts)
			defer cancel()
			var refused *pgconn.PgError
			err := r.pooler.do(pausing, "PAUSE") // returns when the last transaction ends, or never
			<-pausing.Done()
			if !errors.As(err, &refused) {
				err = nil
			}
			return errors.Join(err, r.resumePooler(ctx))
		},
	}, {
		kind: "PgBouncer killed", lane: betweenPooler, only: pooled, least: 100 * time.Millisecond, most: time.Second,
		means: history.Fault{Database: true, Cuts: 1},
		inject: func(ctx context.Context, r *rig, s step, f *history.Fault) error {
			f.Replica = poolerReplica
			return r.pooler.restart(ctx, s.lasts)
		},
	},
}

// reconnectPooler makes PgBouncer open new connections to the server, as its operators do after a failover. It waits until
// PgBouncer runs.
func (r *rig) reconnectPooler(ctx context.Context) (err error) {
	if r.pooler == nil {
		return nil
	}
	testkit.Await(ctx, testkit.Timeout, func() bool {
		err = r.pooler.do(ctx, "RECONNECT")
		return err == nil
	})
	return err
}

// reloadPooler makes PgBouncer read its configuration. If PgBouncer does not run, it reads the configuration when it starts.
func (r *rig) reloadPooler(ctx context.Context) error {
	if r.pooler == nil {
		return nil
	}
	if !testkit.Await(ctx, testkit.Timeout, func() bool { return r.pooler.do(ctx, "RELOAD") == nil }) {
		return errors.New("PgBouncer does not read its configuration")
	}
	return nil
}

// resumePooler resumes PgBouncer. After a restart PgBouncer is not paused and returns an error, which is ignored.
func (r *rig) resumePooler(ctx context.Context) (err error) {
	var said *pgconn.PgError
	testkit.Await(ctx, testkit.Timeout, func() bool {
		err = r.pooler.do(ctx, "RESUME")
		return err == nil || errors.As(err, &said)
	})
	if said != nil {
		return nil
	}
	return err
}

// keepPooler restarts PgBouncer after a crash, as its operators do, and records the fault, until ctx ends. Version 1.18 crashes
// with "bad client state" when a client disconnects at an unexpected moment.
func (r *rig) keepPooler(ctx context.Context) {
	for r.pooler != nil {
		f := history.Fault{Kind: "PgBouncer crashed", Replica: poolerReplica, Database: true, Cuts: 1, Start: r.now()}
		if !testkit.Pause(ctx, 50*time.Millisecond) {
			return
		}
		revived, err := r.pooler.revive()
		if !revived {
			continue
		}
		if err = errors.Join(err, r.awaitDatabase(ctx, poolerReplica)); err != nil {
			r.t.Errorf("seed %d: %v", r.seed, err)
		}
		f.End = r.now()
		r.end(r.begin(f), f)
		r.t.Logf("seed %d  %s", r.seed, f)
	}
}

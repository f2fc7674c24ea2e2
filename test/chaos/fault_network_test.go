package chaos_test

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"user-service/internal/testkit"
	"user-service/test/chaos/faultproxy"
	"user-service/test/chaos/history"
)

// networkFaults break the connections between a replica and a server.
var networkFaults = []fault{
	{
		kind: "connections to PostgreSQL cut", lane: toPostgreSQL, least: 0, most: 500 * time.Millisecond, local: true,
		means:  history.Fault{Database: true, Cuts: 1},
		inject: cut(toPostgres),
	}, {
		kind: "network to PostgreSQL stalled", lane: toPostgreSQL, least: 500 * time.Millisecond, most: 4 * time.Second, local: true,
		means:  history.Fault{Database: true, Locks: true, Cuts: 1},
		inject: stall(toPostgres),
	}, {
		kind: "connections to PostgreSQL half-open", lane: toPostgreSQL, least: 0, most: 0, local: true,
		means: history.Fault{Database: true, Locks: true, Cuts: 1},
		inject: func(ctx context.Context, r *rig, s step, f *history.Fault) error {
			state := r.awaitState(ctx, s.replica, s.variant)
			f.Start = r.now()
			f.Detail = fmt.Sprintf("%d lost %s", r.toPostgres[s.replica].Lose(), state)
			return nil
		},
	}, {
		kind: "connections to PostgreSQL frozen", lane: toPostgreSQL, least: 0, most: 0, local: true,
		means: history.Fault{Database: true, Locks: true, Cuts: 1},
		inject: func(ctx context.Context, r *rig, s step, f *history.Fault) error {
			state := r.awaitState(ctx, s.replica, s.variant)
			f.Start = r.now()
			f.Detail = fmt.Sprintf("%d frozen %s", r.toPostgres[s.replica].Freeze(), state)
			return nil
		},
	}, {
		kind: "connections to RabbitMQ cut", lane: toRabbitMQ, least: 0, most: 500 * time.Millisecond, local: true,
		means:  history.Fault{Cuts: 1},
		inject: cut(toRabbit),
	}, {
		kind: "network to RabbitMQ stalled", lane: toRabbitMQ, least: 500 * time.Millisecond, most: 4 * time.Second, local: true,
		means:  history.Fault{Cuts: 1, Delays: true},
		inject: stall(toRabbit),
	}, {
		kind: "connections to RabbitMQ half-open", lane: toRabbitMQ, least: 0, most: 0, local: true,
		means: history.Fault{Cuts: 1},
		inject: func(_ context.Context, r *rig, s step, f *history.Fault) error {
			f.Detail = fmt.Sprintf("%d lost", r.toRabbit[s.replica].Lose())
			return nil
		},
	},
}

// way selects the network between a replica and a server.
type way func(r *rig, replica int) *faultproxy.Proxy

func toPostgres(r *rig, replica int) *faultproxy.Proxy { return r.toPostgres[replica] }
func toRabbit(r *rig, replica int) *faultproxy.Proxy   { return r.toRabbit[replica] }

// cut resets the open connections, and new ones for a short time.
func cut(to way) func(context.Context, *rig, step, *history.Fault) error {
	return func(ctx context.Context, r *rig, s step, f *history.Fault) error {
		proxy := to(r, s.replica)
		proxy.Refuse(true)
		f.Detail = fmt.Sprintf("%d cut", proxy.Cut())
		testkit.Pause(ctx, s.lasts)
		proxy.Refuse(false)
		return nil
	}
}

// stall holds back all bytes for a while, and then passes them on.
func stall(to way) func(context.Context, *rig, step, *history.Fault) error {
	return func(ctx context.Context, r *rig, s step, f *history.Fault) error {
		proxy := to(r, s.replica)
		f.Detail = fmt.Sprintf("%d connections", proxy.Links())
		proxy.Stall()
		testkit.Pause(ctx, s.lasts)
		proxy.Resume()
		return nil
	}
}

// stateTime is how long a fault waits for a session in its state.
const stateTime = time.Second

// awaitState waits until a session of a replica is in the state that the variant selects, or else in any transaction. It returns
// the state.
func (r *rig) awaitState(ctx context.Context, replica, variant int) string {
	_, state := r.awaitSession(ctx, replica, variant)
	return state
}

// awaitSession waits as awaitState does. It also returns the process id of the session, or 0 if no session is in a transaction.
func (r *rig) awaitSession(ctx context.Context, replica, variant int) (pid int, state string) {
	chosen := [...]string{
		`state = 'idle in transaction'`,
		`state = 'idle in transaction' AND query ~ 'FOR (NO KEY )?UPDATE'`,
		`state = 'active' AND query ~* '^(update|insert|delete|commit)'`,
	}[variant%3]
	for _, condition := range []string{chosen, `state <> 'idle'`} {
		if pid := r.findSession(ctx, replica, condition); pid != 0 {
			return pid, "when " + condition
		}
	}
	return 0, "in no transaction"
}

// findSession waits up to stateTime for a session of the replica that matches the condition. It returns the process id of the session, or
// 0.
func (r *rig) findSession(ctx context.Context, replica int, condition string) (pid int) {
	ctx, cancel := context.WithTimeout(ctx, stateTime)
	defer cancel()
	_ = r.admin(ctx, func(conn *pgx.Conn) error {
		for pid == 0 && ctx.Err() == nil {
			if err := conn.QueryRow(ctx, `SELECT coalesce(min(pid), 0) FROM pg_stat_activity WHERE application_name = $1 AND `+condition,
				applicationName(replica)).Scan(&pid); err != nil {
				return err
			}
		}
		return nil
	})
	return pid
}

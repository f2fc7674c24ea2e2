package chaos_test

import (
	"context"
	"errors"
	"time"

	"user-service/test/chaos/history"
)

// poolerReplica is the replica that PgBouncer stands before.
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
			err := r.pooler.do(pausing, "PAUSE") // ends when the last transaction does
			<-pausing.Done()
			cancel()
			if errors.Is(err, context.DeadlineExceeded) {
				err = nil
			}
			return errors.Join(err, r.pooler.do(ctx, "RESUME"))
		},
	}, {
		kind: "PgBouncer killed", lane: betweenPooler, only: pooled, least: 100 * time.Millisecond, most: time.Second,
		means: history.Fault{Database: true, Cuts: 1},
		inject: func(ctx context.Context, r *rig, s step, f *history.Fault) error {
			f.Replica = poolerReplica
			r.pooler.kill()
			pause(ctx, s.lasts)
			return r.pooler.start()
		},
	},
}

// reconnectPooler has PgBouncer open new connections to the server, as its operators do after a failover. It waits for one that
// another fault has ended.
func (r *rig) reconnectPooler(ctx context.Context) (err error) {
	if r.pooler == nil {
		return nil
	}
	await(ctx, patience, func() bool {
		err = r.pooler.do(ctx, "RECONNECT")
		return err == nil
	})
	return err
}

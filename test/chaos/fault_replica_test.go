package chaos_test

import (
	"context"
	"fmt"
	"time"

	"user-service/internal/testkit"
	"user-service/test/chaos/history"
)

// replicaFaults restart a replica.
var replicaFaults = []fault{
	{
		kind: "replica killed", lane: replicas, least: 100 * time.Millisecond, most: time.Second, local: true,
		means: history.Fault{Database: true, Connections: true, Cuts: 1},
		inject: func(ctx context.Context, r *rig, s step, _ *history.Fault) error {
			r.replicas[s.replica].kill()
			testkit.Pause(ctx, s.lasts)
			return r.replicas[s.replica].start()
		},
	},
	{
		kind: "replica terminated", lane: replicas, least: 100 * time.Millisecond, most: time.Second, local: true,
		means: history.Fault{Database: true, Connections: true, Cuts: 1},
		inject: func(ctx context.Context, r *rig, s step, f *history.Fault) error {
			took, err := r.terminate(s.replica)
			if err != nil {
				return err
			}
			f.Detail = fmt.Sprintf("after %s", took.Round(time.Millisecond))
			testkit.Pause(ctx, s.lasts)
			return r.replicas[s.replica].start()
		},
	},
	replicaVanishes,
}

// replicaVanishes ends a replica without the servers noticing: its connections and transactions stay open.
var replicaVanishes = fault{
	kind: "replica vanishes", lane: replicas, least: 100 * time.Millisecond, most: time.Second, local: true,
	means: history.Fault{Database: true, Connections: true, Locks: true, Cuts: 1},
	inject: func(ctx context.Context, r *rig, s step, f *history.Fault) error {
		state := r.awaitState(ctx, s.replica, s.variant)
		f.Start = r.now()
		if s.variant%2 == 0 {
			f.Detail = fmt.Sprintf("with %d connections lost %s", r.toPostgres[s.replica].Lose(), state)
		} else {
			f.Detail = fmt.Sprintf("with %d connections frozen %s", r.toPostgres[s.replica].Freeze(), state)
		}
		r.toRabbit[s.replica].Lose()
		r.replicas[s.replica].kill()
		testkit.Pause(ctx, s.lasts)
		return r.replicas[s.replica].start()
	},
}

// terminate sends SIGTERM to a replica and returns the duration of the shutdown. A slow shutdown, or an exit code other than 0, is a
// violation.
func (r *rig) terminate(replica int) (time.Duration, error) {
	begun := time.Now()
	if err := r.replicas[replica].terminate(); err != nil {
		return 0, err
	}
	code, err := r.replicas[replica].exitCode()
	took := time.Since(begun)
	if took > shutdownTimeout+shutdownSlack {
		r.violate(history.Violation{Rule: "shutdown", At: r.now(), Text: fmt.Sprintf(
			"replica %d took %s to end; SHUTDOWN_TIMEOUT is %s", replica, took.Round(time.Millisecond), shutdownTimeout)})
	}
	if code != 0 {
		r.violate(history.Violation{
			Rule: "shutdown", At: r.now(),
			Text: fmt.Sprintf("replica %d ended with the exit code %d", replica, code),
		})
	}
	return took, err
}

// shutdownSlack is the additional time that a shutdown may take on a busy machine.
const shutdownSlack = 500 * time.Millisecond

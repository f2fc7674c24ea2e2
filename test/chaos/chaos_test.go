package chaos_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"user-service/internal/testkit"
	"user-service/test/chaos/history"
)

const (
	warmUp     = 2 * time.Second
	lastEpoch  = 52 * time.Second                        // The latest start of an epoch. A seed has two minutes.
	lastCalm   = history.LockTime + history.RecoveryTime // Long enough for the locks of vanished clients to end.
	outboxTime = 30 * time.Second                        // The deadline for publishing all events.
)

// TestPromisesHoldUnderFaults runs seeds sequentially, because they measure time.
func TestPromisesHoldUnderFaults(t *testing.T) { //nolint:paralleltest // it measures time
	var total history.Summary
	for seed := *firstSeed; seed < *firstSeed+*seedCount; seed++ {
		t.Run(fmt.Sprintf("seed-%d", seed), func(t *testing.T) {
			total.Add(runSeed(t, seed, *length))
		})
	}
	t.Logf("%d seeds: %s", *seedCount, &total)
}

// runSeed injects the faults of a seed, waits for recovery, and checks the history.
func runSeed(t *testing.T, seed int64, length time.Duration) history.History {
	t.Helper()
	topology := topologyOf(seed)
	r := newRig(t, seed, topology, program)
	r.say("%s; two replicas are ready", topology)
	schedule := plan(seed, topology)
	people := r.newCrowd()
	background, stop := context.WithCancel(t.Context())
	var watchers sync.WaitGroup
	for _, watch := range []func(context.Context){r.sample, r.watchMachine, r.watchDisk, r.readMail, r.keepPooler, r.followBroker} {
		watchers.Go(func() { watch(background) })
	}
	people.start(t.Context())
	testkit.Pause(t.Context(), warmUp)
	ran := 0
	for begun := r.now(); ran < len(schedule) && r.now()-begun < length && r.now() < lastEpoch; ran++ {
		r.run(t.Context(), schedule[ran])
	}
	r.inject(t.Context(), lastFault(seed))
	testkit.Pause(t.Context(), lastCalm)
	people.stop()
	r.settle(t.Context(), people)
	stop()
	watchers.Wait()
	h, err := r.history(t.Context())
	if err != nil {
		t.Fatalf("seed %d: collect the history: %v", seed, err)
	}
	r.shutDown()
	r.judge(h, describe(schedule[:ran]))
	return h
}

// lastFault makes a replica vanish in the middle of transactions that hold locks on accounts. Later, settle changes every account, so it
// needs these locks.
func lastFault(seed int64) step {
	return step{fault: replicaVanishes, lasts: time.Second, replica: int(seed % replicaCount), variant: int(1 + 3*(seed%2))}
}

// settle runs after the last client has stopped: each user logs in and is changed, and all events are published.
func (r *rig) settle(ctx context.Context, people *crowd) {
	last := r.newClient(clientCount + 1)
	for _, p := range people.people() {
		if p.look().disabled {
			last.asAdmin(p, op(history.Status, p, history.Want{Status: "active"}), call{
				method: "PUT", path: "/users/" + p.id + "/status", body: map[string]string{"status": "active"},
			})
		}
		for range p.passwords {
			if last.token(p) != "" {
				break
			}
		}
		last.patch(p)
	}
	last.http.CloseIdleConnections()
	if !testkit.Await(ctx, outboxTime, func() bool { return r.waiting(ctx) == 0 }) {
		var users, deferred int
		_ = r.sqlValue(ctx, `SELECT count(DISTINCT subject) FROM outbox`, &users)
		_ = r.sqlValue(ctx, `SELECT count(*) FROM outbox WHERE retry_at IS NOT NULL`, &deferred)
		r.say("%d events of %d users are left in the outbox; %d are deferred", r.waiting(ctx), users, deferred)
	}
	testkit.Pause(ctx, 2*sampleTime)
	r.checkLeaks(ctx)
}

// history collects the operations, events, faults and rows of the run.
func (r *rig) history(ctx context.Context) (h history.History, err error) {
	if h.Deliveries, err = r.deliveries(); err != nil {
		return h, err
	}
	if h.Final, err = r.final(ctx); err != nil {
		return h, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	h.Ops = slices.SortedFunc(slices.Values(r.ops), func(a, b history.Op) int { return a.ID - b.ID })
	for _, f := range r.faults {
		h.Faults = append(h.Faults, *f)
	}
	h.Samples, h.Given = slices.Clone(r.samples), r.given
	return h, nil
}

// shutDown ends both replicas.
func (r *rig) shutDown() {
	for i := range r.replicas {
		if took, err := r.terminate(i); err != nil {
			r.t.Errorf("seed %d: end replica %d: %v", r.seed, i, err)
		} else {
			r.say("replica %d ended %s after SIGTERM", i, took.Round(time.Millisecond))
		}
	}
}

// maxShown is how many violations of each rule are printed with the history around them.
const maxShown = 2

// judge reports the violations.
func (r *rig) judge(h history.History, schedule string) {
	r.t.Helper()
	var summary history.Summary
	summary.Add(h)
	r.say("%s; a replica served %s after a fault at the latest", &summary, history.SlowestRecovery(h).Round(time.Millisecond))
	violations := append(r.violations, history.Check(h)...)
	if len(violations) == 0 {
		return
	}
	r.t.Errorf("seed %d: %d violations. To repeat the run: make chaos SEED=%d SEEDS=1\n%s", r.seed, len(violations), r.seed, schedule)
	shown := map[string]int{}
	for _, v := range violations {
		if shown[v.Rule]++; shown[v.Rule] <= maxShown {
			r.t.Errorf("%s\n%s", v, h.Around(v))
		}
	}
	r.t.Errorf("seed %d: %s", r.seed, history.ByRule(violations))
}

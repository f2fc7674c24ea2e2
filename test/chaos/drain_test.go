package chaos_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"user-service/internal/testkit"
	"user-service/test/chaos/history"
)

// TestTakingReplicasDownRefusesNoRequest terminates replicas: first one of two behind a load balancer, then the only one, several
// times. The only expected fault is that no replica runs after the last one has ended.
func TestTakingReplicasDownRefusesNoRequest(t *testing.T) { //nolint:paralleltest // it measures time
	r := newRig(t, 0, topology{plain, single}, program)
	background, stop := context.WithCancel(t.Context())
	var watchers sync.WaitGroup
	for _, watch := range []func(context.Context){r.sample, r.watchMachine, r.watchDisk, r.balance} {
		watchers.Go(func() { watch(background) })
	}
	people := r.newCrowd()
	people.start(t.Context())
	testkit.Pause(t.Context(), warmUp)
	r.takeDown(t.Context(), 0)
	testkit.Pause(t.Context(), warmUp)
	for range *restarts {
		ended := r.begin(history.Fault{Kind: "the only replica ends", Replica: history.Everywhere, Connections: true, Database: true})
		r.takeDown(t.Context(), 1)
		if n := r.waiting(t.Context()); n != 0 {
			t.Errorf("%d events were left in the outbox after the shutdown, want none", n)
		}
		if err := r.replicas[1].start(); err != nil {
			t.Fatal(err)
		}
		for !r.balancesTo(1) { // until then, balance sends the clients to the other replica
			if !testkit.Pause(t.Context(), 10*time.Millisecond) {
				t.FailNow()
			}
		}
		r.end(ended, history.Fault{
			Kind: "the only replica ends", Replica: history.Everywhere, Connections: true, Database: true, Start: ended.start, End: r.now(),
		})
		testkit.Pause(t.Context(), time.Second)
	}
	if err := r.replicas[0].start(); err != nil {
		t.Fatal(err)
	}
	people.stop()
	r.settle(t.Context(), people)
	stop()
	watchers.Wait()
	h, err := r.history(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.judge(h, "")
}

// takeDown terminates a replica as an orchestrator does. Readiness must fail well before the replica stops accepting requests.
func (r *rig) takeDown(ctx context.Context, replica int) {
	r.t.Helper()
	begun := time.Now()
	told := make(chan time.Duration, 1)
	go func() {
		testkit.Await(ctx, shutdownTimeout, func() bool { return r.replicas[replica].readiness() != http.StatusOK })
		told <- time.Since(begun)
	}()
	took, err := r.terminate(replica)
	if err != nil {
		r.t.Fatal(err)
	}
	notReady := <-told
	r.say("replica %d was not ready %s after SIGTERM, and ended after %s",
		replica, notReady.Round(time.Millisecond), took.Round(time.Millisecond))
	if notReady > shutdownDelay/2 {
		r.t.Errorf("/readyz failed %s after SIGTERM, want at most %s", notReady, shutdownDelay/2)
	}
	if took < shutdownDelay {
		r.t.Errorf("replica %d ended after %s, want at least SHUTDOWN_DELAY, %s", replica, took, shutdownDelay)
	}
}

// balancesTo reports whether the load balancer knows that a replica is ready.
func (r *rig) balancesTo(replica int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ready != nil && r.ready[replica]
}

// balance sends the clients' requests to ready replicas, as a load balancer does, until ctx ends.
func (r *rig) balance(ctx context.Context) {
	for {
		var ready [replicaCount]bool
		for i, replica := range r.replicas {
			ready[i] = replica.isReady()
		}
		r.mu.Lock()
		r.ready = &ready
		r.mu.Unlock()
		if !testkit.Pause(ctx, 50*time.Millisecond) {
			return
		}
	}
}

package chaos_test

import (
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"user-service/pkg/postgres/postgrestest"
)

// shutdownDelay is the SHUTDOWN_DELAY of a replica that others take over from.
const shutdownDelay = 2 * time.Second

func TestTakingAReplicaDownRefusesNoRequest(t *testing.T) {
	t.Parallel()
	s := newStage(t, 2, postgrestest.URL(t), sharedBroker(t).with(settings{"SHUTDOWN_DELAY": shutdownDelay.String()}))
	s.traffic.target = balance(t, s.replicas)
	s.traffic.clients = append(s.traffic.clients, &http.Client{ // which opens a connection for each request
		Timeout: hangTime, Transport: &http.Transport{DisableKeepAlives: true},
	})
	stop := s.traffic.flow()
	s.traffic.await(50)

	s.takeDown(s.replicas[0])
	s.traffic.await(50)
	stop()
	s.check()
	s.traffic.checkUnhurt()
}

// takeDown ends a replica as an orchestrator does.
func (s *stage) takeDown(replica *service) {
	s.t.Helper()
	began := time.Now()
	replica.terminate()
	waitFor(s.t, "/readyz to say 503", func() bool { return replica.readiness() == http.StatusServiceUnavailable })
	s.say("not ready %s after SIGTERM", time.Since(began).Round(time.Millisecond))
	if took := time.Since(began); took > shutdownDelay/2 {
		s.t.Errorf("/readyz took %s to notice SIGTERM", took)
	}
	if code := replica.exitCode(); code != 0 {
		s.t.Errorf("exit code %d, want 0", code)
	}
	s.say("ended %s after SIGTERM", time.Since(began).Round(time.Millisecond))
	if took := time.Since(began); took < shutdownDelay || took > shutdownTimeout {
		s.t.Errorf("the end took %s; SHUTDOWN_DELAY is %s, SHUTDOWN_TIMEOUT %s", took, shutdownDelay, shutdownTimeout)
	}
}

// balance sends requests to the replicas that are ready, as a load balancer does.
func balance(t *testing.T, replicas []*service) (target func() string) {
	ready := make([]atomic.Bool, len(replicas))
	for i, replica := range replicas {
		ready[i].Store(true)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for t.Context().Err() == nil {
				ready[i].Store(replica.isReady())
				<-time.After(50 * time.Millisecond)
			}
		}()
		t.Cleanup(func() { <-ended })
	}
	return func() string {
		first := rand.N(len(replicas))
		for i := range replicas {
			if n := (first + i) % len(replicas); ready[n].Load() {
				return replicas[n].url
			}
		}
		return replicas[first].url
	}
}

func TestTheLastReplicaLeavesNoEventBehind(t *testing.T) {
	t.Parallel()
	s := newStage(t, 1, postgrestest.URL(t), sharedBroker(t)) // SHUTDOWN_DELAY is 0: it ends in the middle of changes
	s.traffic.tolerate = broken
	stop := s.traffic.flow()
	for n := range *kills {
		s.traffic.await(int64(20 + 7*n))
		s.replicas[0].terminate()
		if code := s.replicas[0].exitCode(); code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
		if left := s.waiting(); left > 0 {
			t.Errorf("%d events were left in the outbox", left)
		}
		s.replicas[0].start()
	}
	stop()
	s.check()
}

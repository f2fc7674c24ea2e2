package chaos_test

import (
	"testing"

	"user-service/pkg/postgres/postgrestest"
)

func TestKillingTheServiceLosesNoEvent(t *testing.T) {
	t.Parallel()
	s := newStage(t, 1, postgrestest.URL(t), sharedBroker(t))
	s.traffic.tolerate = broken
	stop := s.traffic.flow()
	for n := range *kills {
		s.traffic.await(int64(20 + 7*n)) // not always at the same point of a life
		s.replicas[0].kill()
		s.say("kill -9, with %d events in the outbox", s.waiting())
		s.replicas[0].start()
	}
	s.traffic.await(20)
	stop()
	s.check()
}

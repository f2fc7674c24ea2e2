package chaos_test

import (
	"testing"

	"user-service/pkg/postgres/postgrestest"
)

func TestTheOutboxWorksBehindPgBouncerInTransactionMode(t *testing.T) {
	t.Parallel()
	direct := postgrestest.Empty(t)
	pooled := startPgBouncer(t, direct)
	env := sharedBroker(t).with(settings{"DATABASE_URL": pooled})
	runProgram(t, settings{"DATABASE_URL": pooled, "MIGRATION_DATABASE_URL": direct}, "", "migrate", "up")

	s := newStage(t, 2, direct, env)
	s.fill(*volume)
	if duplicates := s.checkEvents(); duplicates > 0 {
		t.Errorf("%d duplicates, though nothing died: did both replicas publish?", duplicates)
	}
}

func TestKillingAReplicaBehindPgBouncerLosesNoEvent(t *testing.T) {
	t.Parallel()
	direct := postgrestest.URL(t)
	s := newStage(t, 2, direct, sharedBroker(t).with(settings{"DATABASE_URL": startPgBouncer(t, direct)}))
	s.traffic.tolerate = broken
	stop := s.traffic.flow()
	for n := range *kills {
		s.traffic.await(50)
		killed := s.replicas[n%2]
		killed.kill()
		s.say("kill -9 of one of two")
		s.traffic.await(20)
		killed.start()
	}
	stop()
	s.check()
}

package chaos_test

import (
	"testing"
	"time"
)

func TestKillingPostgreSQLIsAnsweredInTimeAndLosesNoEvent(t *testing.T) {
	t.Parallel()
	database := own(t, "postgres")
	url := database.env["DATABASE_URL"]
	runProgram(t, settings{"DATABASE_URL": url}, "", "migrate", "up")
	s := newStage(t, 1, url, sharedBroker(t))
	stop := s.traffic.flow()
	s.traffic.await(50)
	database.crash()
	s.say("PostgreSQL is killed")
	<-time.After(*outage)
	if s.traffic.troubles.Load() == 0 {
		t.Error("no request failed: there was no outage")
	}
	database.up()
	s.say("PostgreSQL is back")
	s.traffic.await(50)
	stop()
	s.check()
}
